package hardening

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// verify asks sshd for its effective configuration, for everyone and for each kind of connection that its files distinguish,
// and returns what falls short of the policy, one line each. Nothing means that the policy holds.
func (o *Options) verify(ctx context.Context, list []directive, t *tree) []string {
	var lines []string
	for _, f := range t.files {
		if !f.safe {
			lines = append(lines, fmt.Sprintf("sshd_config: %s can be changed by others; chown it to root and chmod it to 0644", f.path))
		}
	}
	if !o.Standalone { // a file of one's own may lie anywhere
		for _, loose := range t.ways.loose {
			lines = append(lines, "sshd_config: "+loose)
		}
	}
	reported := make(map[string]bool)
	connections, err := o.connections(t)
	if err != nil {
		return append(lines, err.Error())
	}
	for _, c := range connections {
		args := []string{"-T", "-f", o.ConfigFile}
		prefix := "sshd_config: "
		if spec := c.Spec(); spec != "" {
			args = append(args, "-C", spec)
			prefix = "sshd_config: for user " + c.User + " from " + c.Addr + ": "
		}
		e, err := o.ask(ctx, append(args, o.SSHDArgs...))
		if err != nil { // the other questions would fail alike, or that one connection would
			return append(lines, prefix+err.Error())
		}
		for _, d := range list {
			text := o.Policy.shortfall(e, d, c)
			if text == "" || reported[d.keyword] {
				continue
			}
			reported[d.keyword] = true
			lines = append(lines, prefix+text+o.blame(d, e, t))
		}
	}
	return lines
}

// blame names the line that made the difference, as far as a plain search finds it.
func (o *Options) blame(d directive, e Values, t *tree) string {
	for _, arg := range o.SSHDArgs {
		if strings.Contains(strings.ToLower(arg), strings.ToLower(d.keyword)) || d.keyword == "Port" && strings.HasPrefix(arg, "-p") {
			return "; set by sshd's own arguments (SSHD_OPTS in /etc/default/ssh): " + arg
		}
	}
	return culprit(t.places(d.keyword, o.DropIn), e[strings.ToLower(d.keyword)])
}

func (o *Options) ask(ctx context.Context, args []string) (Values, error) {
	out, err := o.run(ctx, o.SSHD, args...)
	for range separationTries {
		if err == nil || !strings.Contains(out.stderr, "Missing privilege separation directory: "+separationDir) || makeSeparationDir() != nil {
			break
		}
		out, err = o.run(ctx, o.SSHD, args...)
	}
	if err != nil {
		// Of lines in a Match block of the main file it says so.
		out.stderr = strings.ReplaceAll(out.stderr, "reprocess config line", o.ConfigFile+" line")
		return nil, fmt.Errorf("%s -T does not accept the configuration; mend or take out the line that it names: %w", o.SSHD, out.explain(err))
	}
	return ParseValues(out.stdout)
}

// separationDir is what Debian's sshd wants to be there even for -T. systemd-tmpfiles makes it at boot, and ssh.service takes it along
// whenever it stops (RuntimeDirectory=), so by hand with SSH closed it is missing, and while SSH is closing it may vanish again. It
// stays: SSH may have been started meanwhile and need it.
const (
	separationDir   = "/run/sshd"
	separationTries = 3
)

// makeSeparationDir makes it as systemd-tmpfiles does. Without root it can't, and sshd's own words are the error then.
func makeSeparationDir() error {
	if err := os.Mkdir(separationDir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// validateArgs admits only arguments of sshd whose effect `sshd -T` shows.
func validateArgs(args []string) error {
	for i := 0; i < len(args); i++ {
		arg := args[i]
		switch {
		case arg == "-D", arg == "-e", arg == "-q", arg == "-4", arg == "-6":
		case arg == "-o", arg == "-p", arg == "-u", arg == "-h":
			if i++; i == len(args) {
				return fmt.Errorf("hardening: sshd's argument %s (SSHD_OPTS in /etc/default/ssh): its value is missing", arg)
			}
			if arg == "-o" && leadsAway(args[i]) {
				return fmt.Errorf("hardening: sshd's argument -o %s (SSHD_OPTS in /etc/default/ssh): that belongs into a file of %s.d; take it out", args[i], DefaultConfigFile)
			}
		case strings.HasPrefix(arg, "-o") && leadsAway(arg[2:]):
			return fmt.Errorf("hardening: sshd's argument %s (SSHD_OPTS in /etc/default/ssh): that belongs into a file of %s.d; take it out", arg, DefaultConfigFile)
		case len(arg) > 2 && (strings.HasPrefix(arg, "-o") || strings.HasPrefix(arg, "-p") ||
			strings.HasPrefix(arg, "-u") || strings.HasPrefix(arg, "-h")):
		default:
			return fmt.Errorf("hardening: sshd's argument %q (SSHD_OPTS in /etc/default/ssh): it could go round the policy; take it out", arg)
		}
	}
	return nil
}

// leadsAway says whether an argument of -o makes sshd read what is none of the files that are looked at here.
func leadsAway(option string) bool {
	keyword, _, err := splitLine(option)
	return err != nil || keyword == "include" || keyword == "match"
}

func dirOf(file string) string {
	if at := strings.LastIndexByte(file, '/'); at > 0 {
		return file[:at]
	}
	return "/"
}
