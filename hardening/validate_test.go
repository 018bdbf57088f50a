package hardening

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestValidate(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Policy)
		key    string // "": valid
		msg    string
	}{
		"bad port 0":               {func(p *Policy) { p.Port = 0 }, "port", "use 22, or 1024 to 65535"},
		"bad port 23":              {func(p *Policy) { p.Port = 23 }, "port", "23"},
		"bad port 1023":            {func(p *Policy) { p.Port = 1023 }, "port", ""},
		"bad port 65536":           {func(p *Policy) { p.Port = 65536 }, "port", ""},
		"bad port -22":             {func(p *Policy) { p.Port = -22 }, "port", ""},
		"bad listen name":          {func(p *Policy) { p.Listen = []string{"localhost"} }, "listen", "is not an IP address"},
		"bad listen port":          {func(p *Policy) { p.Listen = []string{"10.0.0.1:22"} }, "listen", "without a port"},
		"bad listen injection":     {func(p *Policy) { p.Listen = []string{"10.0.0.1\nPermitRootLogin yes"} }, "listen", ""},
		"bad listen zone":          {func(p *Policy) { p.Listen = []string{"fe80::1%eth0\nPermitRootLogin yes"} }, "listen", "interface"},
		"bad listen no zone":       {func(p *Policy) { p.Listen = []string{"fe80::1"} }, "listen", "fe80::1%eth0"},
		"bad listen mapped":        {func(p *Policy) { p.Listen = []string{"::ffff:10.0.0.1"} }, "listen", "write \"10.0.0.1\""},
		"bad listen twice":         {func(p *Policy) { p.Listen = []string{"::1", "0::1"} }, "listen", "twice"},
		"bad listen covered":       {func(p *Policy) { p.Listen = []string{"0.0.0.0", "10.0.0.1"} }, "listen", "covered"},
		"bad listen covered 6":     {func(p *Policy) { p.Listen = []string{"::", "::1"} }, "listen", "covered"},
		"bad listen multicast":     {func(p *Policy) { p.Listen = []string{"ff02::1%eth0"} }, "listen", "multicast"},
		"bad allowed and denied":   {func(p *Policy) { p.AllowUsers = []string{"a"}; p.DenyUsers = []string{"a"} }, "allow-users", "deny-users"},
		"bad root without root":    {func(p *Policy) { p.AllowUsers = []string{"root"} }, "allow-users", "root-login"},
		"bad root login":           {func(p *Policy) { p.RootLogin = "yes" }, "root-login", "prohibit-password"},
		"bad root login empty":     {func(p *Policy) { p.RootLogin = "" }, "root-login", ""},
		"bad startups":             {func(p *Policy) { p.MaxStartups = "10" }, "max-startups", "10:30:60"},
		"bad startups rate":        {func(p *Policy) { p.MaxStartups = "10:101:60" }, "max-startups", ""},
		"bad startups order":       {func(p *Policy) { p.MaxStartups = "10:30:9" }, "max-startups", ""},
		"bad startups injection":   {func(p *Policy) { p.MaxStartups = "10:30:60\nPort 1" }, "max-startups", ""},
		"bad startups sign":        {func(p *Policy) { p.MaxStartups = "+10:030:60" }, "max-startups", ""},
		"bad grace 0":              {func(p *Policy) { p.LoginGrace = 0 }, "login-grace", "\"5s\" to \"10m0s\""},
		"bad grace fraction":       {func(p *Policy) { p.LoginGrace = Duration(5500 * time.Millisecond) }, "login-grace", "whole"},
		"bad tries":                {func(p *Policy) { p.MaxAuthTries = 0 }, "max-auth-tries", "1 to 10"},
		"bad sessions":             {func(p *Policy) { p.MaxSessions = 101 }, "max-sessions", ""},
		"bad alive":                {func(p *Policy) { p.ClientAliveInterval = -1 }, "client-alive-interval", ""},
		"bad alive count":          {func(p *Policy) { p.ClientAliveCount = 0 }, "client-alive-count", ""},
		"bad forwarding":           {func(p *Policy) { p.TCPForwarding = "true" }, "tcp-forwarding", "\"local\""},
		"bad stream forwarding":    {func(p *Policy) { p.StreamForwarding = "" }, "stream-forwarding", ""},
		"bad tunnel":               {func(p *Policy) { p.Tunnel = "no\n" }, "tunnel", ""},
		"bad per source":           {func(p *Policy) { p.PerSourceMaxStartups = -1 }, "per-source-max-startups", ""},
		"bad profile":              {func(p *Policy) { p.Profile = "lax" }, "profile", "\"strict\""},
		"default":                  {func(p *Policy) {}, "", ""},
		"high port":                {func(p *Policy) { p.Port = 65535 }, "", ""},
		"all addresses":            {func(p *Policy) { p.Listen = []string{"0.0.0.0", "::"} }, "", ""},
		"root by key":              {func(p *Policy) { p.AllowUsers = []string{"root"}; p.RootLogin = RootKeysOnly }, "", ""},
		"no questions, no limits":  {func(p *Policy) { p.ClientAliveInterval = 0; p.PerSourceMaxStartups = 0 }, "", ""},
		"names of all usual forms": {func(p *Policy) { p.AllowUsers = []string{"pi", "_x", "a.b-c_d", "WEB01$", "7up"} }, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := DefaultPolicy()
			c.change(&p)
			err := p.Validate()
			var e *KeyError
			switch {
			case c.key == "" && err != nil:
				t.Error(err)
			case c.key != "" && (!errors.As(err, &e) || e.Key != c.key || !strings.Contains(e.Msg, c.msg)):
				t.Errorf("got %v, want %s: ...%s...", err, c.key, c.msg)
			}
		})
	}
	if (Policy{}).Validate() == nil {
		t.Error("the zero policy is valid")
	}
}

// No name may mean anything but itself in sshd_config.
func TestNamesCannotInject(t *testing.T) {
	for _, name := range []string{
		"", " ", "a b", "a\nPermitRootLogin yes", "a\rb", "a\tb", "a\x00b", "a#b", "#a", "\"a\"", "a\"", "'a'", "a'", "a\\", "a\\\nb",
		"*", "a*", "a?", "!a", "a,b", "a=b", "=a", "a@b", "a@10.0.0.0/8", "-a", ".a", "a$b", "$", "a/b", "a:b", "a%b", "~a", "a\u00a0b", "ä", "\xff",
		strings.Repeat("a", 33),
	} {
		for key, p := range map[string]Policy{
			"allow-users":  {AllowUsers: []string{"ok", name}},
			"deny-users":   {DenyUsers: []string{"ok", name}},
			"allow-groups": {AllowGroups: []string{"ok", name}},
		} {
			ok := false
			for _, err := range p.Validate().(interface{ Unwrap() []error }).Unwrap() {
				var e *KeyError
				ok = ok || errors.As(err, &e) && e.Key == key
			}
			if !ok {
				t.Errorf("%s: %q passes", key, name)
			}
		}
	}
}

// Every key of the policy must count in the digest, and have its name in kebab-case.
func TestDigestCoversPolicy(t *testing.T) {
	o := Options{SSHD: "/bin/true", SSH: "/bin/true", ConfigFile: "/nonexistent/c"}
	seen := map[string]string{}
	note := func(what string) {
		d, err := o.digest(new(tree))
		if err != nil {
			t.Fatal(err)
		}
		if former, twice := seen[d]; twice {
			t.Errorf("%s and %s have the same digest", what, former)
		}
		seen[d] = what
	}
	note("nothing")
	typ := reflect.TypeFor[Policy]()
	for i := range typ.NumField() {
		key := typ.Field(i).Tag.Get("toml")
		if key == "" || strings.ToLower(key) != key || strings.ContainsAny(key, "_ ,") {
			t.Errorf("%s: its key is %q", typ.Field(i).Name, key)
		}
		o.Policy = Policy{}
		switch f := reflect.ValueOf(&o.Policy).Elem().Field(i); f.Kind() {
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Int, reflect.Int64:
			f.SetInt(7)
		case reflect.String:
			f.SetString("x")
		case reflect.Slice:
			if e, ok := f.Addr().Interface().(*[]Exception); ok {
				yes := true
				*e = []Exception{{Criterion: "User a", Passwords: &yes}}
				note(key + " (one)")
				*e = []Exception{{Criterion: "User a", AgentForwarding: &yes}}
				break
			}
			f.Set(reflect.ValueOf([]string{"a b"}))
			note(key + " (one)")
			f.Set(reflect.ValueOf([]string{"a", "b"}))
		default:
			t.Fatalf("%s: no test for its kind", key)
		}
		note(key)
	}
}

func TestDuration(t *testing.T) {
	var d Duration
	if err := d.UnmarshalText([]byte("2m")); err != nil || d != Duration(2*time.Minute) {
		t.Errorf("%v, %v", d, err)
	}
	if err := d.UnmarshalText([]byte("30")); err == nil || !strings.Contains(err.Error(), "unit") {
		t.Errorf("%v", err)
	}
	if text, err := d.MarshalText(); err != nil || string(text) != "2m0s" {
		t.Errorf("%s, %v", text, err)
	}
}
