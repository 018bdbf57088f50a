package hardening

import (
	"errors"
	"fmt"
	"net/netip"
	"os/user"
	"strconv"
	"strings"
)

// Connection is what the criteria of a Match line look at. The zero value is `sshd -T` without -C: nothing but
// "all" applies to it.
type Connection struct {
	User, Host, Addr, LAddr string
	LPort                   int
	RDomain                 string
}

// Spec is the argument of `sshd -C` for this connection, "" for the zero value.
func (c Connection) Spec() string {
	if c == (Connection{}) {
		return ""
	}
	parts := []string{"user=" + c.User, "host=" + c.Host, "addr=" + c.Addr, "laddr=" + c.LAddr, "lport=" + strconv.Itoa(c.LPort)}
	if c.RDomain != "" {
		parts = append(parts, "rdomain="+c.RDomain)
	}
	return strings.Join(parts, ",")
}

// applies evaluates the arguments of a Match line as match_cfg_line of servconf.c does. A nil connection is sshd's first
// reading, before there is any: only "all" applies. The criteria that need no connection are checked all the same.
func applies(args []string, c *Connection) (bool, error) {
	if len(args) == 0 {
		return false, errors.New("Match has no criterion")
	}
	if strings.EqualFold(args[0], "all") {
		if len(args) > 1 {
			return false, errors.New("Match all stands with other criteria")
		}
		return true, nil
	}
	result := true
	for i := 0; i < len(args); i++ {
		name, value, joined := strings.Cut(args[i], "=")
		name = strings.ToLower(name)
		if name == "invalid-user" && !joined { // 9.9 and newer
			result = result && c != nil && c.User != "" && !exists(c.User)
			continue
		}
		if !joined || !criteria[name] {
			name = strings.ToLower(args[i])
			if i++; i == len(args) {
				return false, fmt.Errorf("Match %s has no value", name)
			}
			value = args[i]
		}
		if value == "" || name == "all" {
			return false, fmt.Errorf("Match %s has no value", name)
		}
		ok, err := criterion(name, value, c)
		if err != nil {
			return false, err
		}
		result = result && ok
	}
	return result, nil
}

// criteria are the names that 10.0 and newer take with '=' as well.
var criteria = map[string]bool{"user": true, "group": true, "host": true, "address": true, "localaddress": true,
	"localport": true, "rdomain": true, "version": true}

func criterion(name, value string, c *Connection) (bool, error) {
	none := Connection{}
	if c == nil {
		c = &none
	}
	switch name {
	case "user":
		return c.User != "" && matchList(c.User, value) > 0, nil
	case "group":
		return c.User != "" && inGroup(c.User, value), nil
	case "host":
		return c.Host != "" && matchList(strings.ToLower(c.Host), strings.ToLower(value)) > 0, nil
	case "address", "localaddress":
		addr := c.Addr
		if name == "localaddress" {
			addr = c.LAddr
		}
		return matchAddresses(addr, value)
	case "localport":
		port, err := strconv.ParseUint(value, 10, 16)
		if err != nil || port == 0 {
			return false, fmt.Errorf("Match localport %s is no port", value)
		}
		return c.LPort == int(port), nil
	case "rdomain":
		return c.RDomain != "" && matchList(c.RDomain, value) > 0, nil
	case "version":
		// The answer is sshd's own release: not for us to guess, so the block is taken to apply.
		return true, nil
	}
	return false, fmt.Errorf("Match has no criterion %s", name)
}

func exists(name string) bool {
	_, err := user.Lookup(name)
	return err == nil
}

// inGroup is ga_match_pattern_list: any group of the account, by the whole list; a negated match ends it.
func inGroup(name, patterns string) bool {
	u, err := user.Lookup(name)
	if err != nil {
		return false
	}
	ids, err := u.GroupIds()
	if err != nil {
		return false
	}
	found := false
	for _, id := range ids {
		g, err := user.LookupGroupId(id)
		if err != nil {
			continue
		}
		switch matchList(g.Name, patterns) {
		case -1:
			return false
		case 1:
			found = true
		}
	}
	return found
}

// matchList is match_pattern_list: 1 one applies, -1 a negated one does, 0 none.
func matchList(s, list string) int {
	found := 0
	for pattern := range strings.SplitSeq(list, ",") {
		pattern, negated := strings.CutPrefix(pattern, "!")
		if matchPattern(s, pattern) {
			if negated {
				return -1
			}
			found = 1
		}
	}
	return found
}

// matchPattern knows * and ?, by bytes. The last * is gone back to, which takes at most len(s)*len(pattern) steps.
func matchPattern(s, pattern string) bool {
	i, j, star, from := 0, 0, -1, 0
	for i < len(s) {
		switch {
		case j < len(pattern) && pattern[j] == '*':
			star, from = j, i
			j++
		case j < len(pattern) && (pattern[j] == '?' || pattern[j] == s[i]):
			i++
			j++
		case star >= 0:
			from++
			i, j = from, star+1
		default:
			return false
		}
	}
	return strings.Trim(pattern[j:], "*") == ""
}

// matchAddresses is addr_match_list: CIDR blocks and addresses, or patterns of text.
func matchAddresses(text, list string) (bool, error) {
	addr, err := netip.ParseAddr(text)
	known := err == nil
	found := false
	for item := range strings.SplitSeq(list, ",") {
		item, negated := strings.CutPrefix(item, "!")
		if item == "" {
			return false, errors.New("Match address has an empty item")
		}
		var hit bool
		if prefix, isPrefix, err := parsePrefix(item); err != nil {
			return false, err
		} else if isPrefix {
			hit = known && prefix.Contains(addr)
		} else {
			hit = text != "" && matchPattern(text, item)
		}
		if hit && negated {
			return false, nil
		}
		found = found || hit
	}
	return found && known, nil
}

func parsePrefix(item string) (netip.Prefix, bool, error) {
	base, bits, cut := strings.Cut(item, "/")
	addr, err := netip.ParseAddr(base)
	if err != nil {
		return netip.Prefix{}, false, nil
	}
	n := addr.BitLen()
	if cut {
		v, err := strconv.ParseUint(bits, 10, 8)
		if err != nil || int(v) > n {
			return netip.Prefix{}, false, nil
		}
		n = int(v)
	}
	p := netip.PrefixFrom(addr.WithZone(""), n)
	if p.Masked() != p {
		return p, true, fmt.Errorf("Match address %s has bits beyond its mask", item)
	}
	return p, true, nil
}
