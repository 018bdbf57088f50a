package hardening

import (
	"errors"
	"fmt"
	"net"
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
	Invalid                 bool // User is no account; for releases that know the criterion invalid-user
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
	if c.Invalid {
		parts = append(parts, "invalid-user")
	}
	return strings.Join(parts, ",")
}

// applies evaluates the arguments of a Match line as match_cfg_line of servconf.c does. A nil connection is sshd's first
// reading, before there is any: "all" applies, and a version. The criteria that need no connection are checked all the same.
func (r Release) applies(args []string, c *Connection) (bool, error) {
	result := true
	for i := 0; i < len(args); i++ {
		if strings.HasPrefix(args[i], "#") { // in quotes
			if i == 0 {
				break
			}
			return result, nil
		}
		name, value, joined := strings.Cut(args[i], "=")
		name = strings.ToLower(name)
		switch {
		case strings.EqualFold(args[i], "all"):
			if i > 0 || len(args) > 1 && args[1] != "" && args[1][0] != '#' {
				return false, errors.New("Match all stands with other criteria")
			}
			return true, nil
		case strings.EqualFold(args[i], "invalid-user") && r.KnowsInvalidUser():
			result = result && c != nil && c.Invalid
			continue
		case joined && criteria[name] && !r.looseMatch():
		default:
			name = strings.ToLower(args[i])
			if i++; i < len(args) {
				value = args[i]
			} else {
				value = ""
			}
		}
		if value == "" || value[0] == '#' {
			return false, fmt.Errorf("Match %s has no value", name)
		}
		ok, err := r.criterion(name, value, c)
		if err != nil {
			return false, err
		}
		result = result && ok
	}
	if len(args) == 0 || strings.HasPrefix(args[0], "#") {
		return false, errors.New("Match has no criterion")
	}
	return result, nil
}

// criteria are the names that take a value with '=' as well, where words are not split at it anyway.
var criteria = map[string]bool{"user": true, "group": true, "host": true, "address": true, "localaddress": true,
	"localport": true, "rdomain": true, "version": true}

func (r Release) criterion(name, value string, c *Connection) (bool, error) {
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
		port, err := net.LookupPort("tcp", value) // by its name in /etc/services, too
		if err != nil {
			return false, fmt.Errorf("Match localport %s is no port", value)
		}
		return c.LPort == port && port > 0, nil
	case "rdomain":
		return c.RDomain != "" && matchList(c.RDomain, value) > 0, nil
	case "version":
		if r.knowsVersion() {
			// Of a release that isn't known, the block is taken to apply.
			return r.name == "" || matchList(r.name, value) > 0, nil
		}
	case "exec":
		return false, errors.New("Match exec is for ssh_config; no sshd knows it, and nothing is run here; take the line out")
	}
	return false, fmt.Errorf("Match has no criterion %s", name)
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
