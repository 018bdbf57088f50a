// Package simulate is keyswitchd's main job on a machine that is no Pi: a key that is turned by a person at the terminal or
// by a script, a LED that is drawn, and between them the real controller, the real hardening and a real sshd, which runs as
// our own child on 127.0.0.1.
//
// It refuses to touch anything outside of its throw-away folder: not /etc/ssh, not the machine's own sshd, not systemd.
// It decides nothing either: that is internal/keyswitch's, here as on a Pi.
package simulate
