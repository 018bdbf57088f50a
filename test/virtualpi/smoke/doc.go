// Package smoke has tests of the virtual Pi itself, for when its recipe or a test elsewhere is in doubt. They run inside:
//
//	go test -count=1 -tags inside -exec 'VIRTUALPI exec' ./test/virtualpi/smoke
//
// They know nothing of keyswitchd.
package smoke
