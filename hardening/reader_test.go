package hardening

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestSplitLine(t *testing.T) {
	for line, want := range map[string]string{
		"":                       "",
		"   \t\r":                "",
		"# Port 1":               "",
		"  #Port 1":              "",
		"Port 22":                "port|22",
		"\tpORT\t22  # why":      "port|22",
		"Port=22":                "port|22",
		"Port = 22\r":            "port|22",
		" =Port 22":              "port|22",
		"\"Port\" 22":            "port|22",
		"Port==22":               "port|=22",
		"AllowUsers a  b\tc":     "allowusers|a|b|c",
		"AllowUsers \"a b\" 'c'": "allowusers|a b|c",
		"X a\\ b \"c\\\"d\" e\\": "x|a b|c\"d|e\\",
		"Banner a#b":             "banner|a#b",
		"Banner \"\"":            "banner|",
		"Match":                  "match",
	} {
		keyword, args, err := splitLine(line)
		got := strings.Join(append([]string{keyword}, args...), "|")
		if err != nil || got != want {
			t.Errorf("%q: %q, %v, want %q", line, got, err, want)
		}
	}
	for _, line := range []string{"Port \"22", "Port '22", "\"Port 22", "Po\"rt 22"} {
		if _, _, err := splitLine(line); err == nil {
			t.Errorf("%q: no error", line)
		}
	}
}

func TestGlob(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a/x.conf", "a.b/x.conf", "a/.hidden.conf", "a/y.conf", "a/y.txt", "b/x.conf"} {
		file := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, nil, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	for pattern, want := range map[string]string{
		"/a/*.conf":     "/a/x.conf /a/y.conf",
		"/a/.*.conf":    "/a/.hidden.conf",
		"/a*/x.conf":    "/a.b/x.conf /a/x.conf",
		"/[!a]/x.conf":  "/b/x.conf",
		"/[ab]/?.conf":  "/a/x.conf /a/y.conf /b/x.conf",
		"/a/y.txt":      "/a/y.txt",
		"/a/none":       "",
		"/none/*":       "",
		"/a/y.txt/*":    "",
		"/{a,b}/x.conf": "",
		"/[^a]/x.conf":  "/a/x.conf",
		"/[a-b]/y.*":    "/a/y.conf /a/y.txt",
		"/[]a]/y.txt":   "/a/y.txt",
		"/a/[x":         "",
		"/a/\\x.conf":   "/a/x.conf",
		"/a/x\\*":       "",
		"/a/[.]hidden*": "",
	} {
		found, err := glob(dir + pattern)
		if err != nil {
			t.Errorf("%s: %v", pattern, err)
		}
		if got := strings.ReplaceAll(strings.Join(found, " "), dir, ""); got != want {
			t.Errorf("%s: %q, want %q", pattern, got, want)
		}
	}
	for _, pattern := range []string{"/a/[[:alpha:]]*", "/a/[\\]x]"} {
		if found, err := glob(dir + pattern); err == nil {
			t.Errorf("%s passes: %q", pattern, found)
		}
	}
}

func TestParseVersion(t *testing.T) {
	for text, want := range map[string]string{
		"OpenSSH_9.2, OpenSSL 3.0.19\n":                                     "9.2 OpenSSH_9.2",
		"OpenSSH_10.0p2 Debian-7+deb13u4, OpenSSL 3.5.7\n":                  "10.0 OpenSSH_10.0p2",
		"unknown option -- V\nOpenSSH_8.4p1 Debian-5, OpenSSL\nusage: sshd": "8.4 OpenSSH_8.4p1",
		"OpenSSH_7.9p1, x": "too old", "OpenSSH_8.3p1": "too old", "dropbear": "which OpenSSH", "": "nothing",
		"OpenSSH_9": "not of the form", "OpenSSH_x.y": "not of the form", "OpenSSH_9.": "not of the form", "OpenSSH_99999999.1": "not of the form",
	} {
		v, name, err := parseVersion(text)
		got := v.String() + " " + name
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

func TestRunProgram(t *testing.T) {
	ctx := t.Context()
	if out, err := runProgram(ctx, "/usr/bin/env"); err != nil || out.stdout != "PATH=/usr/sbin:/usr/bin:/sbin:/bin\nLC_ALL=C\n" {
		t.Errorf("%q, %v", out.stdout, err)
	}
	if out, err := runProgram(ctx, "/usr/bin/head", "-c", "2000000", "/dev/zero"); err == nil || len(out.stdout) != runLimit {
		t.Errorf("too much: %d bytes, %v", len(out.stdout), err)
	}
	if _, err := runProgram(ctx, "/usr/bin/false"); err == nil {
		t.Error("exit 1 is no error")
	}
	if _, err := runProgram(ctx, "/nonexistent"); err == nil {
		t.Error("a missing program is no error")
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := runProgram(ended, "/usr/bin/env"); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

func FuzzParseEffective(f *testing.F) {
	recorded, err := filepath.Glob("testdata/effective-*.txt")
	if err != nil || len(recorded) == 0 {
		f.Fatal("no recordings")
	}
	for _, file := range recorded {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add("")
	f.Add("port")
	f.Add("port 22\n\n")
	list, err := DefaultPolicy().directives(abilities{Version: version{10, 6}, Kex: postQuantumKex, Ciphers: []string{"aes128-ctr"},
		MACs: []string{"hmac-sha2-256"}, Keys: hostKeyAlgorithms})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := ParseValues(text)
		if err != nil {
			if e != nil {
				t.Error("both an account and an error")
			}
			return
		}
		lines := 0
		for keyword, values := range e {
			if keyword != strings.ToLower(keyword) || !isKeyword(keyword) {
				t.Errorf("keyword %q", keyword)
			}
			lines += len(values)
		}
		if lines != strings.Count(text, "\n") {
			t.Errorf("%d lines of %d", lines, strings.Count(text, "\n"))
		}
		for _, d := range list {
			e.difference(d)
		}
	})
}

func FuzzSplitLine(f *testing.F) {
	for _, line := range []string{"Port 22", "\"a\"=b", "a 'b\\' c", "=", "\"", "a\\", "# x", " =a"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		keyword, args, err := splitLine(line)
		if keyword == "" && (len(args) > 0) {
			t.Errorf("arguments %q without a keyword", args)
		}
		if err == nil && strings.HasPrefix(keyword, "#") {
			t.Errorf("keyword %q", keyword)
		}
		if size := len(strings.Join(args, "")); size > len(line) {
			t.Errorf("%d bytes of arguments from %d", size, len(line))
		}
		if strings.Contains(line, "\n") || err != nil || keyword == "" {
			return
		}
		// A line that is read as setting something must be one that readTree would look at, too.
		if slices.Contains([]string{"include", "match", "hostkey"}, keyword) && !mayMatter([]byte(line)) {
			t.Errorf("%q is passed over", line)
		}
	})
}

func hardened(b *testing.B) Options {
	m := newMachine(b)
	m.o.exec = nil
	if _, err := Harden(b.Context(), m.o); err != nil {
		b.Fatal(err)
	}
	return m.o
}

func BenchmarkUnchanged(b *testing.B) {
	m := hardened(b)
	for b.Loop() {
		if _, err := Harden(b.Context(), m); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSSHDTest is what a stock ssh.service does before each start.
func BenchmarkSSHDTest(b *testing.B) {
	m := hardened(b)
	for b.Loop() {
		if err := exec.Command(DefaultSSHD, "-t", "-f", m.ConfigFile).Run(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkForced(b *testing.B) {
	m := hardened(b)
	m.Force = true
	for b.Loop() {
		if _, err := Harden(b.Context(), m); err != nil {
			b.Fatal(err)
		}
	}
}
