package lockout

import (
	"bytes"
	"crypto/rsa"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"keyswitchd/hardening"
	"keyswitchd/internal/accounts"
	"keyswitchd/internal/folder"
)

// keysFiles is OpenSSH's default of AuthorizedKeysFile.
const keysFiles = ".ssh/authorized_keys .ssh/authorized_keys2"

// keys looks for a key that lets the account in.
func (c *check) keys(a accounts.Account, settings map[string][]string) verdict {
	names := words(settings["authorizedkeysfile"])
	if len(names) == 0 {
		names = strings.Fields(keysFiles)
	}
	var reasons []string
	do := ""
	for _, name := range names {
		if name == "none" {
			continue
		}
		file := expand(name, a)
		why, mend := c.keysFile(file, a)
		if why == "" {
			return verdict{fine: true}
		}
		reasons = append(reasons, file+" "+why)
		if do == "" {
			do = mend
		}
	}
	for _, keyword := range []string{"authorizedkeyscommand", "trustedusercakeys"} {
		if v := words(settings[keyword]); len(v) > 0 && v[0] != "none" {
			return verdict{unsure: true, why: "whether it has a key only " + v[0] + " can tell"}
		}
	}
	if len(reasons) == 0 {
		reasons = []string{"AuthorizedKeysFile is none"}
	}
	if c.policy.Passwords && a.UID != 0 {
		reasons = append(reasons, "no password works")
	}
	return verdict{why: "no key: " + strings.Join(reasons, ", "), do: do}
}

// expand is sshd's authorized_keys_file: tokens, and names relative to the home directory.
func expand(name string, a accounts.Account) string {
	name = strings.NewReplacer("%%", "%", "%h", a.Home, "%u", a.Name, "%U", strconv.FormatUint(uint64(a.UID), 10)).Replace(name)
	if !filepath.IsAbs(name) {
		name = filepath.Join(a.Home, name)
	}
	return name
}

// keysFile returns "" if one line of the file lets the account in, else why none does, and the command for it if there is one.
func (c *check) keysFile(file string, a accounts.Account) (why, do string) {
	content, _, err := folder.ReadStrangers(filepath.Join(c.Root, file))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "is not there", ""
	case err != nil:
		return "can't be read (" + err.Error() + ")", ""
	}
	var mode *ModeError
	if err := StrictModes(c.Root, file, a, c.book); errors.As(err, &mode) {
		return "is ignored by sshd: " + err.Error(), mode.Do
	} else if err != nil {
		return "is ignored by sshd: " + err.Error(), ""
	}
	if err := readable(c.Root, file, a, c.book); errors.As(err, &mode) {
		return "is closed to its owner: " + err.Error(), mode.Do
	} else if err != nil {
		return "is closed to its owner: " + err.Error(), ""
	}
	return c.lines(content, a.UID == 0 && c.policy.RootLogin == hardening.RootForcedCommands), ""
}

// lines returns "" if one line is a key that this policy accepts, else what is wrong with the last that is none. forced
// turns it round: only keys that are bound to a command count.
func (c *check) lines(content []byte, forced bool) string {
	why := "holds no key"
	for number, line := range bytes.Split(content, []byte("\n")) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		bad := c.line(line, forced)
		if bad == "" {
			return ""
		}
		why = fmt.Sprintf("line %d: %s", number+1, bad)
	}
	return why
}

// line returns "" for a key that gives its owner a shell (or the one command, if that is all there may be), else what is
// wrong with it.
func (c *check) line(line []byte, forced bool) string {
	key, _, options, _, err := ssh.ParseAuthorizedKey(line)
	if err != nil {
		// A type that is newer than the library is still a key to an sshd that knows it.
		kind, ok := unknownKey(line)
		switch {
		case !ok || slices.Contains(supportedTypes[:], kind):
			return "no key that OpenSSH accepts"
		case !slices.Contains(c.algorithms, kind):
			return fmt.Sprintf("the policy admits no %s keys; make a new one with ssh-keygen -t ed25519", kind)
		}
		return ""
	}
	if _, ok := key.(*ssh.Certificate); ok {
		return "a certificate, where its key belongs"
	}
	if !slices.ContainsFunc(signatures(key.Type()), func(s string) bool { return slices.Contains(c.algorithms, s) }) {
		return fmt.Sprintf("the policy admits no %s keys; make a new one with ssh-keygen -t ed25519", key.Type())
	}
	if bits := rsaSize(key); bits > 0 && bits < c.rsaBits {
		return fmt.Sprintf("the RSA key has %d bits, the policy wants %d; make a new one with ssh-keygen -t ed25519", bits, c.rsaBits)
	}
	command := false
	for _, o := range options {
		name, value, _ := strings.Cut(o, "=")
		switch strings.ToLower(name) {
		case "command":
			command = true
		case "expiry-time":
			if until, ok := expiry(strings.Trim(value, `"`), c.Now.Location()); !ok || !c.Now.Before(until) {
				return "the key expired (" + o + ")"
			}
		}
	}
	switch {
	case command && !forced:
		return "the key is bound to one command, so it gives no shell"
	case !command && forced:
		return "root-login wants the key bound to a command"
	}
	return ""
}

// supportedTypes are what the library can read: what it refuses of these is broken.
var supportedTypes = [...]string{ssh.KeyAlgoRSA, ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521,
	ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256}

// signatures are the algorithms that a key of this type can sign with.
func signatures(kind string) []string {
	switch kind {
	case ssh.KeyAlgoRSA:
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSA}
	case ssh.KeyAlgoSKECDSA256:
		return []string{kind, "webauthn-" + kind}
	}
	return []string{kind}
}

// rsaSize is 0 for other keys.
func rsaSize(key ssh.PublicKey) int {
	if k, ok := key.(ssh.CryptoPublicKey); ok {
		if r, ok := k.CryptoPublicKey().(*rsa.PublicKey); ok {
			return r.N.BitLen()
		}
	}
	return 0
}

// unknownKey finds "TYPE BASE64" where the type within the base64 is the same, as every SSH key has it (RFC 4253, 6.6).
func unknownKey(line []byte) (string, bool) {
	f := strings.Fields(string(line))
	for i := 0; i+1 < len(f); i++ {
		blob, err := base64.StdEncoding.DecodeString(f[i+1])
		if err != nil || len(blob) < 4 {
			continue
		}
		n := binary.BigEndian.Uint32(blob)
		if uint64(n) <= uint64(len(blob)-4) && string(blob[4:4+n]) == f[i] {
			return f[i], true
		}
	}
	return "", false
}

// expiry reads expiry-time of sshd(8): YYYYMMDD[Z] or YYYYMMDDHHMM[SS][Z], in the machine's zone without the Z.
func expiry(text string, local *time.Location) (time.Time, bool) {
	if t, ok := strings.CutSuffix(text, "Z"); ok {
		text, local = t, time.UTC
	}
	for _, layout := range []string{"20060102", "200601021504", "20060102150405"} {
		if len(text) == len(layout) {
			t, err := time.ParseInLocation(layout, text, local)
			return t, err == nil
		}
	}
	return time.Time{}, false
}
