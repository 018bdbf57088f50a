package hardening

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

// The manual has a row for each key of [hardening], and names each key of [[hardening.match]].
func TestEveryKeyIsInTheManual(t *testing.T) {
	content, err := os.ReadFile("../docs/hardening.md")
	if err != nil {
		t.Fatal(err)
	}
	manual := string(content)
	for _, key := range keysOf(t, reflect.TypeFor[Policy]()) {
		if !strings.Contains(manual, "| `"+key+"` |") {
			t.Errorf("docs/hardening.md has no row for %q", key)
		}
	}
	for _, key := range keysOf(t, reflect.TypeFor[Exception]()) {
		if !strings.Contains(manual, "`"+key+"`") && !strings.Contains(manual, "\n    "+key+" = ") {
			t.Errorf("docs/hardening.md does not name %q of [[hardening.match]]", key)
		}
	}
}

// Each keyword that is rendered is named, too.
func TestEveryKeywordIsInTheManual(t *testing.T) {
	content, err := os.ReadFile("../docs/hardening.md")
	if err != nil {
		t.Fatal(err)
	}
	list, err := DefaultPolicy().directives(abilities{Version: version{10, 6}, Kex: postQuantumKex, Ciphers: []string{"aes128-ctr"},
		MACs: []string{"hmac-sha2-256"}, Keys: hostKeyAlgorithms})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range list {
		if !strings.Contains(string(content), d.keyword) {
			t.Errorf("docs/hardening.md does not name %s", d.keyword)
		}
	}
}

func keysOf(t *testing.T, structure reflect.Type) []string {
	t.Helper()
	var keys []string
	for i := range structure.NumField() {
		key := structure.Field(i).Tag.Get("toml")
		if key == "" {
			t.Errorf("%s.%s has no key", structure, structure.Field(i).Name)
		}
		keys = append(keys, key)
	}
	return keys
}
