// Package e2e is for tests only: it puts sshctl alone in front of a real systemd, polkit, logind and sshd.
//
// They run as root inside the virtual Pi, on a machine where nothing is armed (test/e2e arms its own, so these have a boot
// to themselves):
//
//	CGO_ENABLED=0 go test -count=1 -tags e2e -exec '/path/to/virtualpi exec' ./sshctl/e2e
package e2e
