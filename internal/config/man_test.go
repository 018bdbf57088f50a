package config

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the manual page anew; look at it before you commit")

// The manual page keyswitchd.toml(5) is the reference file in another dress, so that neither can say what the other doesn't.
func TestManualPage(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "man", "keyswitchd.toml.5")
	page := manualPage(string(Reference))
	if *update {
		if err := os.WriteFile(path, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != page {
		t.Errorf("%s is not what reference.toml says; go test ./internal/config -run ManualPage -update writes it", path)
	}
}

const manualHead = `.Dd November 22, 2026
.Dt KEYSWITCHD.TOML 5
.Os
.Sh NAME
.Nm keyswitchd.toml
.Nd configuration of the key switch for SSH
.Sh DESCRIPTION
.Pa /etc/keyswitchd/keyswitchd.toml
is a TOML file.
It is read strictly: a key that does not exist, a value of the wrong kind or a combination that cannot work is an error with its line, and
nothing of the file is used.
The file must belong to root and must not be writable by anybody else.
.Ic keyswitchd config
checks it,
.Ic keyswitchd config --reference
prints the commented reference file, of which this page is a copy.
Every key is shown with its default.
`

const manualTail = `.Sh FILES
.Bl -tag -width Ds
.It Pa /etc/keyswitchd/keyswitchd.toml
This file.
.It Pa /usr/share/doc/keyswitchd/reference.toml
The reference file.
.El
.Sh SEE ALSO
.Xr sshd_config 5 ,
.Xr keyswitchd 8 ,
.Xr sshd 8
`

// manualPage is the reference file as mdoc(7).
func manualPage(reference string) string {
	var b strings.Builder
	b.WriteString(manualHead + ".Sh KEYS AT THE TOP\n")
	var comment []string
	head, listed := true, false
	text := func() {
		for _, line := range comment {
			b.WriteString(roff(line) + "\n")
		}
		comment = nil
	}
	end := func() {
		if listed {
			b.WriteString(".El\n")
		}
		listed = false
	}
	lines := strings.Split(strings.TrimRight(reference, "\n"), "\n")
	for i, line := range lines {
		switch {
		case strings.HasPrefix(line, "# "):
			comment = append(comment, strings.TrimPrefix(line, "# "))
		case strings.HasPrefix(line, "["), strings.HasPrefix(line, "#[["):
			end()
			b.WriteString(".Sh KEYS IN " + strings.ToUpper(strings.TrimPrefix(line, "#")) + "\n")
			text()
		case line == "" && head: // the head of the file is said above
			head, comment = false, nil
		case line == "":
			text()
		case strings.Contains(line, " = "):
			if !listed {
				b.WriteString(".Bl -tag -width Ds\n")
				listed = true
			}
			key, value, _ := strings.Cut(strings.TrimPrefix(line, "#"), " = ")
			b.WriteString(".It Ic " + key + " No = " + roff(value) + "\n")
			if i+1 == len(lines) || lines[i+1] == "" {
				text()
			}
		}
	}
	end()
	b.WriteString(manualTail)
	return b.String()
}

// roff escapes what roff(7) and mdoc(7) would take for theirs.
func roff(line string) string {
	line = strings.ReplaceAll(line, `\`, `\e`)
	line = strings.ReplaceAll(line, `"`, `\(dq`)
	if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
		line = `\&` + line
	}
	return line
}
