// Package e2e tests keyswitchd as it is installed: real systemd, real D-Bus and polkit, real sshd, real GPIO lines. It runs
// inside the virtual Pi, as root:
//
//	go test -tags e2e -exec 'virtualpi exec -install IMAGE' ./test/e2e
//
// The tests ask only what somebody in front of the machine can see: who can log in, what listens, what the LED
// shows, what the status says. They wait for conditions, never for times, so that a slow machine only makes them slow.
// They refuse to run anywhere else: they break the machine on purpose.
package e2e
