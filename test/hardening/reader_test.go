//go:build sshds

package hardening

import (
	"fmt"
	"slices"
	"strings"

	"keyswitchd/hardening"
)

// printedOddly are the keywords that sshd prints in a form that the table doesn't know: completed by the ports or the folder, with the quotes of the
// file, with the defaults of what isn't set, or not at all.
var printedOddly = map[string]bool{"listenaddress": true, "forcecommand": true, "pidfile": true, "persourcepenalties": true, "gssapiauthentication": true}

// readerProblem compares the own reader with sshd before anything is changed; "" if they agree. accepted says whether
// sshd takes the configuration.
func (b *bench) readerProblem(c hardening.Connection, text string, refusal error) string {
	own, err := hardening.ReadEffective(mainFile, b.release, c)
	switch {
	case refusal != nil && strings.Contains(refusal.Error(), "not in connection test specification"):
		return "" // -T without -C can't be asked about this one
	case err != nil && refusal == nil:
		if _, named := reasonOf(err); named {
			return "" // and so does hardening
		}
		return "the reader refuses what sshd accepts: " + err.Error()
	case refusal != nil:
		return "" // what a value may be, the reader leaves to sshd
	}
	asked, err := hardening.ParseValues(text)
	if err != nil {
		return err.Error()
	}
	if lines := hardening.Disagreements(own, asked, b.defaults); len(lines) > 0 {
		return "Disagreements: " + strings.Join(lines, "; ")
	}
	if lines := b.compare(own, printed(text)); len(lines) > 0 {
		return "the generator's own table: " + strings.Join(lines, "; ")
	}
	return ""
}

// compare is a second judge, which knows nothing but the generator's table.
func (b *bench) compare(own hardening.Values, sshd map[string][]string) []string {
	var lines []string
	for _, k := range keywords {
		name := strings.ToLower(k.name)
		if printedOddly[name] {
			continue
		}
		raw, set := own[name]
		var want []string
		for _, text := range raw {
			want = append(want, strings.ToLower(k.print(text)))
		}
		switch {
		case !set && name == "port":
			want = []string{"22"}
		case !set:
			want = lower(b.plain[name])
		}
		got := lower(sshd[name])
		if len(want) == 1 && want[0] == "none" && len(got) == 0 { // some print nothing for it
			continue
		}
		if len(want) == 1 && len(got) == 1 && got[0] == "//"+want[0] { // a path that doesn't begin with /, from where sshd was started
			continue
		}
		if !slices.Equal(plainWords(want), plainWords(got)) {
			lines = append(lines, fmt.Sprintf("%s: the reader has %q, sshd %q", k.name, want, got))
		}
	}
	return lines
}

func lower(list []string) []string {
	out := make([]string, len(list))
	for i, text := range list {
		out[i] = strings.ToLower(text)
	}
	return out
}

// plainWords: releases print some values in two ways.
func plainWords(list []string) []string {
	for i, text := range list {
		switch text {
		case "prohibit-password":
			list[i] = "without-password"
		case "true":
			list[i] = "yes"
		case "false":
			list[i] = "no"
		}
	}
	return list
}
