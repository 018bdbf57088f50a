// Package sshds lets tests run the real OpenSSH of each Debian release that matters: bookworm's, trixie's and
// forky's. Each is a small tree of files in the cache (test/virtualpi/image makes it, once); a test runs inside it,
// as root, with an /etc/ssh, /run, /home and /var/lib/keyswitchd of its own that vanish with it.
//
// It refuses to run without root, and nothing of what a test does there can reach this machine's own /etc/ssh.
package sshds
