// Package hardening makes the sshd of this machine follow a policy, or says why it does not.
//
// Harden renders a Policy for the installed sshd into one drop-in, reads every other file that sshd reads as sshd would, comments out what
// contradicts the policy there, and then asks sshd itself (`sshd -T`) whether the policy holds. Each file is kept as it was before it is
// changed, and Restore puts it back. The answer is kept, root-owned, under a digest of everything it depended on, so that a start
// with nothing changed runs no process at all.
//
// From where a reader starts: harden.go is the order of things; tree.go, read.go, match.go and syntax.go read sshd_config; classify.go judges
// a line; plan.go, mark.go, apply.go, change.go change files, several as one; backup.go, recover.go and restore.go take it back; owners.go says who else
// could change them; verify.go asks sshd.
//
// It refuses to guess. Whatever can't be read, run, parsed or compared counts as "not verified", and a Result is never Verified together
// with an error; then no file is changed. It follows no link when it writes, adds no line but an Include of its drop-in and a DenyUsers
// for the guide's DisallowUsers, and runs programs by absolute path with fixed arguments. It starts and stops nothing: whoever
// calls it keeps sshd down when Harden returns an error.
package hardening
