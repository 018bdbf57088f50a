// Package hardening makes the sshd of this machine follow a policy, or says why it does not.
//
// Harden renders a Policy for the installed sshd into one drop-in, writes it atomically, and then asks
// sshd itself (`sshd -T`) whether the policy holds. The answer is kept, root-owned, under a digest of
// everything it depended on, so that a start with nothing changed runs no process at all.
//
// It refuses to guess. Whatever can't be read, run, parsed or compared counts as "not verified", and a
// Result is never Verified together with an error. It edits no file but its own drop-in, follows no
// link when it writes, and runs programs by absolute path with fixed arguments. It starts and stops
// nothing: whoever calls it keeps sshd down when Harden returns an error.
package hardening
