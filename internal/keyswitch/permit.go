package keyswitch

import (
	"errors"
	"io/fs"
	"os"
)

// PermitFile is the permit as a file in the daemon's RuntimeDirectory= (systemd.exec(5)), so that systemd
// removes it when the daemon ends, however it ends. AssertPathExists= in the interlock looks for it.
type PermitFile string

// Grant makes the file. It never follows a link in its place.
func (p PermitFile) Grant() error {
	f, err := os.OpenFile(string(p), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o444)
	if errors.Is(err, fs.ErrExist) {
		// systemd only asks whether it exists, so one that is there is as good.
		return nil
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// Revoke removes the file; one that isn't there is fine.
func (p PermitFile) Revoke() error {
	err := os.Remove(string(p))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
