package hardening

import (
	"slices"
	"strconv"
	"strings"
)

// throttle takes in the keywords that bound what strangers may try, each as this release of sshd does; false is another keyword. What sshd
// would refuse is left as it was.
func (v Values) throttle(r Release, keyword string, args []string) bool {
	arg := ""
	if len(args) > 0 {
		arg = args[0]
	}
	switch keyword {
	case "maxstartups":
		if len(v[keyword]) == 0 || r.lastWins(keyword) {
			v.set(keyword, r.maxStartups(arg, v.first(keyword)))
		}
	case "persourcenetblocksize":
		if len(v[keyword]) == 0 || r.lastWins(keyword) {
			v.set(keyword, r.netBlockSize(arg))
		}
	case "persourcemaxstartups":
		if len(v[keyword]) == 0 || r.lastWins(keyword) {
			v.set(keyword, arg)
		}
	case "persourcepenalties":
		for _, arg := range args {
			v.penalty(arg)
		}
	default:
		return false
	}
	return true
}

func (v Values) set(keyword, value string) { v[keyword] = []string{value} }

// first is the first value of a keyword, "" if there is none.
func (v Values) first(keyword string) string {
	if len(v[keyword]) == 0 {
		return ""
	}
	return v[keyword][0]
}

// maxStartups is what an argument of MaxStartups makes of what was there. Before 10.1, sscanf writes straight into the options, so that a single
// number leaves the rate as it was; 10.1 and 10.2 take a single number for the last of the three only.
func (r Release) maxStartups(arg, former string) string {
	n := scanNumbers(arg, 3)
	if len(n) == 3 {
		return joinNumbers(n)
	}
	if len(n) != 1 {
		return arg
	}
	begin, rate := n[0], 30 // sshd's own default
	switch {
	case r.lastWins("maxstartups"):
		if old := scanNumbers(former, 3); len(old) == 3 {
			rate = old[1]
		}
	case !r.atLeast(10, 3):
		begin = 10
	}
	return joinNumbers([]int{begin, rate, n[0]})
}

// netBlockSize: before 10.3, sshd forgets to give IPv6 a value where only IPv4 has one. It takes what lies on its stack, which its build fills with
// zeros (-ftrivial-auto-var-init): all of IPv6 is one source then.
func (r Release) netBlockSize(arg string) string {
	n := scanNumbers(arg, 2)
	switch {
	case len(n) == 2:
		return joinNumbers(n)
	case len(n) == 1 && r.atLeast(10, 3):
		return joinNumbers([]int{n[0], 128})
	case len(n) == 1:
		return joinNumbers([]int{n[0], 0})
	}
	return arg
}

// scanNumbers is sscanf(text, "%d:%d:%d"): the numbers that it finds, at most max; what follows them does not count.
func scanNumbers(text string, max int) []int {
	var found []int
	for len(found) < max {
		if len(found) > 0 {
			var more bool
			if text, more = strings.CutPrefix(text, ":"); !more {
				break
			}
		}
		text = strings.TrimLeft(text, blanks+"\f\v")
		end := 0
		if strings.HasPrefix(text, "-") || strings.HasPrefix(text, "+") {
			end++
		}
		for end < len(text) && text[end] >= '0' && text[end] <= '9' {
			end++
		}
		n, err := strconv.ParseInt(text[:end], 10, 32)
		if err != nil {
			break
		}
		found = append(found, int(n))
		text = text[end:]
	}
	return found
}

func joinNumbers(n []int) string {
	text := make([]string, len(n))
	for i := range n {
		text[i] = strconv.Itoa(n[i])
	}
	return strings.Join(text, ":")
}

// penalty takes in one word of PerSourcePenalties: the first of each name counts, over all lines. Any of them switches penalties on, whatever a
// former line says; "no" and "yes" count only if they are the first word of all.
func (v Values) penalty(word string) {
	const keyword = "persourcepenalties"
	if l := strings.ToLower(word); l == "no" || l == "yes" {
		if len(v[keyword]) == 0 {
			v.set(keyword, l)
		}
		return
	}
	var words []string
	if old := v.first(keyword); old != "no" && old != "yes" {
		words = strings.Fields(old)
	}
	if !slices.ContainsFunc(words, func(w string) bool { return penaltyName(w) == penaltyName(word) }) {
		words = append(words, word)
		v.set(keyword, strings.Join(words, " "))
	}
}

func penaltyName(word string) string {
	name, _, _ := strings.Cut(word, ":")
	return name
}

// allPenalties is a value of PerSourcePenalties with the names that it leaves unsaid as usual has them, in order.
func allPenalties(value, usual string) []string {
	if value == "no" {
		return []string{"no"}
	}
	all := map[string]string{}
	for _, list := range []string{usual, value} {
		for _, word := range strings.Fields(list) {
			if name, v, found := strings.Cut(word, ":"); found {
				all[name] = plainPenalty(v)
			}
		}
	}
	// overflow6 is what overflow is, unless it is set.
	if overflow, set := all["overflow"]; set && !strings.Contains(value, "overflow6:") {
		all["overflow6"] = overflow
	}
	var words []string
	for name, v := range all {
		words = append(words, name+":"+v)
	}
	slices.Sort(words)
	return words
}

// plainPenalty is a time in seconds without the fraction that 10.3 and newer print, a number or a word.
func plainPenalty(text string) string {
	if s, ok := convtime(text); ok {
		return strconv.FormatInt(s, 10)
	}
	if f, err := strconv.ParseFloat(strings.TrimSuffix(strings.ToLower(text), "s"), 64); err == nil {
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	return text
}
