package hardening

import (
	"net/netip"
	"path"
	"strings"
	"testing"
)

// FuzzGlob compares with path.Match where the two mean the same, and checks what must be true of any pattern.
func FuzzGlob(f *testing.F) {
	for _, s := range [][2]string{{"*.conf", "a.conf"}, {"[!a-c]?", "dx"}, {"[]a]*", "]"}, {"[x", "[x"}, {"\\*", "*"}, {"a*b*c", "aXbXbXc"}, {".*", ".a"}, {"[a-", "[a-"}, {"[a-]", "-"}, {"[--a]", "."}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, part, name string) {
		if strings.ContainsAny(part+name, "/\x00") || name == "" || part == "" {
			return
		}
		p, err := parseGlob(part)
		if err != nil {
			return
		}
		got := p.matches(name)
		if !p.magic && (got != (p.literal() == name)) {
			t.Errorf("%q is the name %q, and %q matches: %v", part, p.literal(), name, got)
		}
		if strings.HasPrefix(name, ".") && got && strings.HasPrefix(strings.TrimPrefix(part, "\\"), ".") == false {
			t.Errorf("%q finds the hidden %q", part, name)
		}
		if strings.ContainsAny(part, "[\\") || strings.HasPrefix(name, ".") {
			return
		}
		if want, err := path.Match(part, name); err == nil && want != got && isASCII(part+name) {
			t.Errorf("%q matches %q: %v, path.Match: %v", part, name, got, want)
		}
	})
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 })
}

// FuzzAddresses: an address that is listed by itself applies, one that is denied does not, and both forms of a block mean the same.
func FuzzAddresses(f *testing.F) {
	for _, s := range [][2]string{{"192.0.2.1", "192.0.2.0/24"}, {"::1", "!::2,*"}, {"fe80::1%eth0", "fe80::/10"}, {"10.1.2.3", "10.66051"}, {"10.0.0.8", "012"}, {"x", "*"}, {"1.2.3.4", "0x1.2.3.4/32,"}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, text, list string) {
		addr, known := parseAddress(text)
		got, err := matchAddresses(text, list)
		if err != nil || strings.Contains(text, ",") || !known {
			if got {
				t.Errorf("%q applies to %q: %v", list, text, err)
			}
			return
		}
		if denied, err := matchAddresses(text, "!"+text+","+list); denied || err != nil {
			t.Errorf("%q applies although it is denied: %v, %v", text, denied, err)
		}
		if also, err := matchAddresses(text, list+","+text); err == nil && !also && !strings.Contains(list, "!") {
			t.Errorf("%q is listed and does not apply", text)
		}
		if plain, err := netip.ParseAddr(text); err == nil && plain != addr {
			t.Errorf("%q is %v, not %v", text, addr, plain)
		}
	})
}

func TestParseAddress(t *testing.T) {
	for text, want := range map[string]string{
		"10.1": "10.0.0.1", "10.1.515": "10.1.2.3", "010.0.0.1": "8.0.0.1", "0x7f.1": "127.0.0.1", "2130706433": "127.0.0.1", "1.2.3.4": "1.2.3.4", "::1": "::1",
		"": "", "1.2.3.4.5": "", "256.1.1.1": "", "1.2.3.256": "", "1.2.65536": "", "4294967296": "", "1..2": "", "1.": "", "*": "", "0b1": "", "0o17": "", "1_0": "", "-1": "", "08": "", "1.2.3.x": "",
	} {
		addr, ok := parseAddress(text)
		if ok != (want != "") || ok && addr.String() != want {
			t.Errorf("%q: %v, %v; want %q", text, addr, ok, want)
		}
	}
}
