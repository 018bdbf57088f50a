// Package hardening holds the proof of the hardening room against real OpenSSH: random configuration trees, logins
// with every release's client into every release's server, and ssh-audit's opinion. The tests have the build tag
// sshds, and need root.
package hardening
