package hardening

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash"
	"io/fs"
	"strconv"
	"syscall"
)

// fileIdentity tells one state of a file from any other without reading it: device, inode, size, and the
// times of its last change. ctime can't be set by any program.
type fileIdentity string

func identify(file string) (fileIdentity, error) {
	var s syscall.Stat_t
	if err := syscall.Stat(file, &s); err != nil {
		return "", &fs.PathError{Op: "stat", Path: file, Err: err}
	}
	b := make([]byte, 0, 96)
	for _, n := range [...]int64{int64(s.Dev), int64(s.Ino), int64(s.Mode), s.Size,
		int64(s.Mtim.Sec), int64(s.Mtim.Nsec), int64(s.Ctim.Sec), int64(s.Ctim.Nsec)} {
		b = strconv.AppendInt(b, n, 36)
		b = append(b, '.')
	}
	return fileIdentity(b), nil
}

// identifyAny is identify for a file that may be missing, which is a state too.
func identifyAny(file string) (fileIdentity, error) {
	id, err := identify(file)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return "none", nil
	}
	return id, err
}

// helpers are the programs that sshd from 9.8 on hands a connection to.
var helperPrograms = [...]string{"/usr/lib/openssh/sshd-session", "/usr/lib/openssh/sshd-auth"}

// accounts decide whom `Match Group` means.
var accountFiles = [...]string{"/etc/passwd", "/etc/group"}

// digest covers everything that the verification of this policy depends on, but for the running kernel
// and the libraries. The rendered text needs no place of its own: it follows from the policy, this
// program and the abilities of the two programs, and the drop-in is one of the tree's files.
func (o *Options) digest(t *tree) (string, error) {
	d := digester{Hash: sha256.New()}
	d.add("keyswitchd harden 1")
	// JSON can't forget a field that Policy gains, and looks through pointers.
	policy, err := json.Marshal(o.Policy)
	if err != nil {
		return "", err
	}
	d.addBytes(policy)
	d.add(o.Source)
	d.add(o.ConfigFile)
	d.add(o.DropIn)
	d.add(o.SSHD)
	d.add(o.SSH)
	d.add(strconv.FormatBool(o.Standalone))
	d.list(o.Extra)
	d.list(o.SSHDArgs)

	// This program, sshd and ssh must be there.
	for _, file := range [...]string{"/proc/self/exe", o.SSHD, o.SSH} {
		id, err := identify(file)
		if err != nil {
			return "", err
		}
		d.add(string(id))
	}
	for _, files := range [...][]string{helperPrograms[:], accountFiles[:], t.hostKeys} {
		if err := d.identities(files); err != nil {
			return "", err
		}
	}
	keys, err := glob(dirOf(o.ConfigFile) + "/ssh_host_*_key")
	if err != nil {
		return "", err
	}
	if err := d.identities(keys); err != nil {
		return "", err
	}
	d.list(t.ways.loose)
	d.add(strconv.Itoa(len(t.files)))
	for _, f := range t.files {
		d.add(f.path)
		d.add(strconv.FormatUint(uint64(f.mode), 8))
		d.add(strconv.FormatBool(f.safe))
		d.addBytes(f.content)
	}
	return hex.EncodeToString(d.Sum(nil)), nil
}

// digester separates its parts by their lengths, so that no two sets of them look alike.
type digester struct {
	hash.Hash
	length [20]byte
}

func (d *digester) addBytes(b []byte) {
	d.Write(append(strconv.AppendInt(d.length[:0], int64(len(b)), 10), ':')) // a hash's Write never fails
	d.Write(b)
}

func (d *digester) add(s string) { d.addBytes([]byte(s)) }

func (d *digester) list(l []string) {
	d.add(strconv.Itoa(len(l)))
	for _, s := range l {
		d.add(s)
	}
}

func (d *digester) identities(files []string) error {
	d.add(strconv.Itoa(len(files)))
	for _, file := range files {
		id, err := identifyAny(file)
		if err != nil {
			return err
		}
		d.add(file)
		d.add(string(id))
	}
	return nil
}
