// Command deb makes a Debian package from what `make install DESTDIR=...` put into a folder: it compresses what Debian wants
// compressed, writes the control files beside it and calls dpkg-deb. The same input gives the same bytes. It runs when a
// package is made and is no part of it.
package main

import (
	"bytes"
	"compress/gzip"
	"crypto/md5"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

type pkg struct {
	root, from, out string // the folder, the repository, the .deb
	arch, version   string
	maintainer      string
	epoch           int64 // of the source, in seconds since 1970: the time of every file
}

func main() {
	var p pkg
	flag.StringVar(&p.root, "root", "", "the `FOLDER` that make install filled")
	flag.StringVar(&p.from, "from", ".", "the repository")
	flag.StringVar(&p.out, "out", "", "the package to write")
	flag.StringVar(&p.arch, "arch", "", "Debian's name of the architecture")
	flag.StringVar(&p.version, "version", "", "the version of the package")
	flag.StringVar(&p.maintainer, "maintainer", "", "name and address of who answers for it")
	epoch := flag.String("epoch", "", "seconds since 1970 of the newest change")
	flag.Parse()
	var err error
	if p.epoch, err = strconv.ParseInt(*epoch, 10, 64); err == nil {
		err = p.build()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "deb:", err)
		os.Exit(1)
	}
}

func (p pkg) build() error {
	for _, do := range []func() error{p.documents, p.copyright, p.changelog, p.overrides, p.control, p.times} {
		if err := do(); err != nil {
			return err
		}
	}
	cmd := exec.Command("/usr/bin/dpkg-deb", "--root-owner-group", "-Zxz", "--build", p.root, p.out)
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", "SOURCE_DATE_EPOCH=" + strconv.FormatInt(p.epoch, 10)}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("dpkg-deb: %w: %s", err, out)
	}
	return nil
}

func (p pkg) path(name string) string { return filepath.Join(p.root, filepath.FromSlash(name)) }

func (p pkg) write(name string, content []byte, mode fs.FileMode) error {
	path := p.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path, content, mode); err != nil {
		return err
	}
	return os.Chmod(path, mode) // whatever the umask
}

// documents compresses the manual pages (Debian Policy 12.1).
func (p pkg) documents() error {
	pages, err := filepath.Glob(p.path("usr/share/man/man?/*.?"))
	if err != nil {
		return err
	}
	if len(pages) == 0 {
		return fmt.Errorf("no manual pages in %s", p.root)
	}
	for _, page := range pages {
		content, err := os.ReadFile(page)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(p.root, page)
		if err != nil {
			return err
		}
		if err := errors.Join(p.write(name+".gz", compressed(content), 0o644), os.Remove(page)); err != nil {
			return err
		}
	}
	return nil
}

// compressed is gzip -9n: no name and no time.
func compressed(content []byte) []byte {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		panic(err) // the level is a constant
	}
	// A bytes.Buffer takes everything.
	_, _ = w.Write(content)
	_ = w.Close()
	return b.Bytes()
}

// copyright names the licence, and carries those of the modules that are linked in, as each of them asks for.
func (p pkg) copyright() error {
	var b bytes.Buffer
	b.WriteString("Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: keyswitchd\n\n" +
		"Files: *\nCopyright: keyswitchd developers\nLicense: Apache-2.0\n")
	b.WriteString("\nLicense: Apache-2.0\n On Debian systems the full text of the Apache License 2.0 is in\n /usr/share/common-licenses/Apache-2.0.\n")
	modules, err := linked(p.from)
	if err != nil {
		return err
	}
	for _, module := range modules {
		dir, err := moduleDir(module)
		if err != nil {
			return err
		}
		texts, err := filepath.Glob(filepath.Join(dir, "LICEN[SC]E*"))
		if err != nil || len(texts) == 0 {
			return fmt.Errorf("module %s has no licence file (%v)", module, err)
		}
		text, err := os.ReadFile(texts[0])
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "\nFiles: %s (linked into /usr/sbin/keyswitchd)\nCopyright: see the licence\nLicense: %s\n", module, short(text, module))
		if bytes.Contains(text, []byte("Apache License")) {
			continue // its text is where the first paragraph says
		}
		for line := range strings.Lines(string(text)) {
			line = strings.TrimRight(line, " \t\r\n")
			if line == "" {
				line = "."
			}
			b.WriteString(" " + line + "\n")
		}
	}
	return p.write("usr/share/doc/keyswitchd/copyright", b.Bytes(), 0o644)
}

func short(text []byte, module string) string {
	if bytes.Contains(text, []byte("Apache License")) {
		return "Apache-2.0"
	}
	return "of-" + strings.NewReplacer("/", "-", ".", "-").Replace(module)
}

// linked lists the modules that the program is made of.
func linked(from string) ([]string, error) {
	cmd := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}{{end}}{{end}}", "./cmd/keyswitchd")
	cmd.Dir = from
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	modules := strings.Fields(string(out))
	slices.Sort(modules)
	return slices.Compact(modules), nil
}

func moduleDir(path string) (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", path).Output()
	if err != nil {
		return "", fmt.Errorf("go list -m %s: %w", path, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// changelog is Debian's, which points to ours (Debian Policy 4.4, 12.7).
func (p pkg) changelog() error {
	text := fmt.Sprintf("keyswitchd (%s) unstable; urgency=medium\n\n  * See CHANGELOG.md in this folder.\n\n -- %s  %s\n",
		p.version, p.maintainer, time.Unix(p.epoch, 0).UTC().Format("Mon, 02 Jan 2006 15:04:05 +0000"))
	return p.write("usr/share/doc/keyswitchd/changelog.gz", compressed([]byte(text)), 0o644)
}

func (p pkg) overrides() error {
	content, err := os.ReadFile(filepath.Join(p.from, "deploy/deb/lintian-overrides"))
	if err != nil {
		return err
	}
	return p.write("usr/share/lintian/overrides/keyswitchd", content, 0o644)
}

// control writes DEBIAN/: deb-control(5), deb-conffiles(5), the maintainer scripts and the checksums.
func (p pkg) control() error {
	var sums, conffiles bytes.Buffer
	var size int64
	err := filepath.WalkDir(p.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if d.Name() == "DEBIAN" {
				return fs.SkipDir
			}
			return os.Chmod(path, 0o755)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(p.root, path)
		if err != nil {
			return err
		}
		size += (int64(len(content)) + 1023) / 1024
		if strings.HasPrefix(name, "etc/") {
			fmt.Fprintf(&conffiles, "/%s\n", name)
		} else {
			fmt.Fprintf(&sums, "%x  %s\n", md5.Sum(content), name)
		}
		return nil
	})
	if err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(p.from, "deploy/deb/control"))
	if err != nil {
		return err
	}
	control := strings.NewReplacer("@VERSION@", p.version, "@ARCH@", p.arch, "@MAINTAINER@", p.maintainer, "@SIZE@", strconv.FormatInt(size, 10)).Replace(string(text))
	errs := []error{
		p.write("DEBIAN/control", []byte(control), 0o644), p.write("DEBIAN/md5sums", sums.Bytes(), 0o644),
		p.write("DEBIAN/conffiles", conffiles.Bytes(), 0o644),
	}
	for _, script := range []string{"postinst", "prerm", "postrm"} {
		content, err := os.ReadFile(filepath.Join(p.from, "deploy/deb", script))
		errs = append(errs, err)
		if err == nil {
			errs = append(errs, p.write("DEBIAN/"+script, content, 0o755))
		}
	}
	return errors.Join(errs...)
}

// times gives every file the time of the source: dpkg-deb only clamps those that are newer.
func (p pkg) times() error {
	at := time.Unix(p.epoch, 0)
	return filepath.WalkDir(p.root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chtimes(path, at, at)
	})
}
