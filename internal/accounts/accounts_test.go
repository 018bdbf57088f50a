package accounts

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func tree(t *testing.T, content map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range content {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestReadBad(t *testing.T) {
	for name, content := range map[string]map[string]string{
		"bad: nothing at all":        {},
		"bad: no group file":         {"etc/passwd": "root:x:0:0::/root:/bin/sh\n"},
		"bad: passwd is a directory": {"etc/passwd/x": "", "etc/group": ""},
	} {
		if b, err := Read(tree(t, content)); err == nil {
			t.Errorf("%s: no error, but %+v", name, b)
		}
	}
}

func TestRead(t *testing.T) {
	root := tree(t, map[string]string{
		"etc/passwd": "root:x:0:0:root:/root:/bin/bash\n" +
			"short:x:1\n#off:x:7:7::/:/bin/sh\n+nis::::::\nneg:x:-1:0::/:/bin/sh\n:x:9:9::/:/bin/sh\n" +
			"pi:x:1000:1000:,,,:/home/pi:\r\n" +
			"svc:x:999:999::/nonexistent:/usr/sbin/nologin",
		"etc/group":         "root:x:0:\npi:x:1000:\nssh:x:50:pi, svc\nnobody\nbad:x:y:\n",
		"etc/shadow":        "root:*:20000:0:99999:7:::\npi:$6$a$b:20000:0:99999:7::10:\nsvc:!:20000::::::\npi:second:1::::::\n",
		"etc/nsswitch.conf": "passwd: files systemd sss # ldap\ngroup: files [NOTFOUND=return] winbind\nhosts: dns\n",
	})
	b, err := Read(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Accounts) != 3 || len(b.Groups) != 3 {
		t.Fatalf("%d accounts and %d groups: %+v", len(b.Accounts), len(b.Groups), b)
	}
	pi, ok := b.Account("pi")
	if !ok || pi.Shell != "/bin/sh" || pi.Shadow == nil || pi.Shadow.Hash != "$6$a$b" || !pi.Shadow.Password() || pi.Shadow.Locked() {
		t.Errorf("pi: %+v %+v", pi, pi.Shadow)
	}
	if want := time.Date(1970, 1, 11, 0, 0, 0, 0, time.UTC); !pi.Shadow.Expires.Equal(want) {
		t.Errorf("pi expires %s, want %s", pi.Shadow.Expires, want)
	}
	root0, _ := b.Account("root")
	if root0.Shadow.Password() || root0.Shadow.Locked() || !root0.Shadow.Expires.IsZero() {
		t.Errorf("root: %+v", root0.Shadow)
	}
	svc, _ := b.Account("svc")
	if svc.Person() || !svc.Shadow.Locked() || svc.Shadow.Password() {
		t.Errorf("svc: %+v", svc)
	}
	ssh, _ := b.Group("ssh")
	if !b.In(pi, ssh) || !b.In(svc, ssh) || b.In(root0, ssh) || len(b.GroupsOf(pi)) != 2 {
		t.Errorf("groups: %+v", b.Groups)
	}
	if !slices.Equal(b.Elsewhere, []string{"sss", "winbind"}) {
		t.Errorf("elsewhere: %q", b.Elsewhere)
	}
	if _, ok := b.Account("nobody"); ok {
		t.Error("an account that isn't there")
	}
}

func TestShadowIsMissing(t *testing.T) {
	b, err := Read(tree(t, map[string]string{"etc/passwd": "pi:x:1000:1000::/home/pi:/bin/sh\n", "etc/group": ""}))
	if err != nil || !errors.Is(b.ShadowErr, fs.ErrNotExist) || b.Accounts[0].Shadow != nil {
		t.Errorf("%v %+v", err, b)
	}
}
