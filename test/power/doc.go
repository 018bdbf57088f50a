// Package power tests what power does to keyswitchd: boots with the key on and off, reboots, power cuts. It boots virtual
// Pis from outside, so unlike test/e2e it runs on this machine:
//
//	KEYSWITCHD_IMAGE=build/image go test -tags virtualpi ./test/power
//
// KEYSWITCHD_IMAGE is the tree that `make install DESTDIR=` has made.
package power
