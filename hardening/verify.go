package hardening

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// verify asks sshd for its effective configuration, for everyone and for each kind of person that matters,
// and returns what falls short of the policy, one line each. Nothing means that the policy holds.
func (o *Options) verify(ctx context.Context, list []directive, t *tree) []string {
	if !o.Standalone && !t.includes(o.DropIn) {
		return []string{fmt.Sprintf("sshd_config: %s has no Include that reads %s outside of Match blocks; add this as its first line: Include %s/*.conf",
			o.ConfigFile, o.DropIn, dirOf(o.DropIn))}
	}
	problems := o.exceptions(list, t)
	reported := make(map[string]bool, len(problems))
	for keyword := range problems {
		reported[keyword] = true
	}
	var lines []string
	for _, f := range t.files {
		if !f.safe {
			lines = append(lines, fmt.Sprintf("sshd_config: %s can be changed by others; chown it to root and chmod it to 0644", f.path))
		}
	}
	for _, d := range list {
		lines = append(lines, problems[d.keyword]...)
	}
	for _, who := range o.connections() {
		args := []string{"-T", "-f", o.ConfigFile}
		prefix := "sshd_config: "
		if who != "" {
			args = append(args, "-C", "user="+who+",host=client.invalid,addr=192.0.2.1,laddr=192.0.2.2,lport="+strconv.Itoa(o.Policy.Port))
			prefix = "sshd_config: for user " + who + ": "
		}
		e, err := o.ask(ctx, append(args, o.SSHDArgs...))
		if err != nil {
			return append(lines, err.Error()) // the other questions would fail alike
		}
		for _, d := range list {
			text := e.difference(d)
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

// exceptions are the governed keywords in Match blocks, by keyword: no fixed set of questions can cover
// whom a block applies to, so each must say what the policy says.
func (o *Options) exceptions(list []directive, t *tree) map[string][]string {
	var found map[string][]string
	for _, d := range list {
		for _, p := range t.places(d.keyword, o.DropIn) {
			value := strings.Join(p.args, " ")
			if !p.inMatch || d.same([]string{value}) {
				continue
			}
			if found == nil {
				found = make(map[string][]string)
			}
			found[d.keyword] = append(found[d.keyword], fmt.Sprintf(
				"sshd_config: %s is %s for some connections, the policy wants %s; set in a Match block by %s", d.keyword, value, d.want, p))
		}
	}
	return found
}

// connections are the people to ask about: nobody in particular, someone unknown, root, the permitted.
func (o *Options) connections() []string {
	who := []string{"", "nobody", "root"}
	for _, name := range o.Policy.AllowUsers {
		if !slices.Contains(who, name) {
			who = append(who, name)
		}
	}
	return who
}

func (o *Options) ask(ctx context.Context, args []string) (Values, error) {
	out, err := o.run(ctx, o.SSHD, args...)
	if err != nil {
		return nil, fmt.Errorf("sshd: %s -T does not accept the configuration: %w", o.SSHD, out.explain(err))
	}
	return ParseValues(out.stdout)
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
		case len(arg) > 2 && (strings.HasPrefix(arg, "-o") || strings.HasPrefix(arg, "-p") ||
			strings.HasPrefix(arg, "-u") || strings.HasPrefix(arg, "-h")):
		default:
			return fmt.Errorf("hardening: sshd's argument %q (SSHD_OPTS in /etc/default/ssh): it could go round the policy; take it out", arg)
		}
	}
	return nil
}

func dirOf(file string) string {
	if at := strings.LastIndexByte(file, '/'); at > 0 {
		return file[:at]
	}
	return "/"
}
