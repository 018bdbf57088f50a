package record

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The kinds that the source declares are those that Kinds lists, and no two share a name or an id.
func TestKindsAreUnique(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "record.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	declared := 0
	ast.Inspect(file, func(n ast.Node) bool {
		if lit, ok := n.(*ast.CompositeLit); ok {
			if id, ok := lit.Type.(*ast.Ident); ok && id.Name == "Kind" {
				declared++
			}
		}
		return true
	})
	if declared == 0 || declared != len(Kinds()) {
		t.Errorf("%d kinds are declared, %d are listed", declared, len(Kinds()))
	}
	names, ids := map[string]bool{}, map[string]bool{}
	for _, k := range Kinds() {
		if names[k.Name] || ids[k.ID] {
			t.Errorf("%s %s is there twice", k.Name, k.ID)
		}
		names[k.Name], ids[k.ID] = true, true
		// systemd-id128(1) makes version 4 UUIDs.
		if !regexp.MustCompile(`^[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}$`).MatchString(k.ID) {
			t.Errorf("%s: %q was not made by systemd-id128 new", k.Name, k.ID)
		}
	}
}

// Each kind has an entry in the catalog and a row in docs/journal.md, and the other way round.
func TestCatalogAndDocs(t *testing.T) {
	catalog, docs := readCatalog(t), readDocs(t)
	known := map[string]bool{}
	for _, k := range Kinds() {
		known[k.ID] = true
		entry, ok := catalog[k.ID]
		if !ok {
			t.Errorf("%s (%s) is not in the catalog", k.Name, k.ID)
			continue
		}
		row, ok := docs[k.ID]
		if !ok || row.name != k.Name {
			t.Errorf("%s (%s) has no row in docs/journal.md", k.Name, k.ID)
		}
		for _, name := range []string{"Subject", "Defined-By", "Support", "Documentation"} {
			if entry.head[name] == "" {
				t.Errorf("catalog: %s has no %s", k.Name, name)
			}
		}
		for name, value := range entry.head {
			path, isFile := strings.CutPrefix(value, "file:///usr/share/doc/keyswitchd/")
			if isFile && !installed(path) {
				t.Errorf("catalog: %s: %s: there is no %s", k.Name, name, path)
			}
		}
		if strings.TrimSpace(entry.text) == "" {
			t.Errorf("catalog: %s has no text", k.Name)
		}
		for _, m := range regexp.MustCompile(`@([A-Z_]+)@`).FindAllStringSubmatch(entry.text, -1) {
			if !slices.Contains(row.fields, m[1]) {
				t.Errorf("catalog: %s uses %s, but docs/journal.md has only %q for it", k.Name, m[1], row.fields)
			}
		}
		for _, m := range regexp.MustCompile(`[0-9a-f]{32}`).FindAllString(entry.text, -1) {
			if m != k.ID {
				t.Errorf("catalog: the query of %s asks for another kind", k.Name)
			}
		}
	}
	for _, id := range slices.Concat(slices.Collect(maps.Keys(catalog)), slices.Collect(maps.Keys(docs))) {
		if !known[id] {
			t.Errorf("%s is in the catalog or in docs/journal.md, but no kind has it", id)
		}
	}
}

type catalogEntry struct {
	head map[string]string
	text string
}

// readCatalog reads deploy/keyswitchd.catalog as https://systemd.io/CATALOG/ says.
func readCatalog(t *testing.T) map[string]catalogEntry {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "deploy", "keyswitchd.catalog"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]catalogEntry{}
	var id string
	inHead := false
	for i, line := range strings.Split(string(data), "\n") {
		switch rest, begins := strings.CutPrefix(line, "-- "); {
		case id == "" && !begins: // the comment at the top
		case begins:
			if _, twice := all[rest]; twice {
				t.Errorf("catalog: %s is there twice", rest)
			}
			id, inHead = rest, true
			all[id] = catalogEntry{head: map[string]string{}}
		case inHead && line != "":
			name, value, ok := strings.Cut(line, ": ")
			if !ok {
				t.Errorf("catalog: line %d: %q", i+1, line)
			}
			all[id].head[name] = value
		case inHead:
			inHead = false
		default:
			e := all[id]
			e.text += line + "\n"
			all[id] = e
		}
	}
	return all
}

type docsRow struct {
	name   string
	fields []string
}

// state are the fields that docs/journal.md calls so.
var state = []string{"KEY", "REASON", "PERMIT", "OPEN", "LED", "OVERRIDE", "BY", "SESSIONS", "UNIT"}

// readDocs reads the table of docs/journal.md: | `name` | `id` | when | state, `FIELD`, `FIELD` |
func readDocs(t *testing.T) map[string]docsRow {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "docs", "journal.md"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]docsRow{}
	code := regexp.MustCompile("`([^`]+)`")
	for line := range strings.Lines(string(data)) {
		cells := strings.Split(line, "|")
		if len(cells) != 6 {
			continue
		}
		id := code.FindStringSubmatch(cells[2])
		name := code.FindStringSubmatch(cells[1])
		if id == nil || name == nil {
			continue
		}
		row := docsRow{name: name[1]}
		if strings.Contains(cells[4], "state") {
			for _, name := range state {
				row.fields = append(row.fields, "KEYSWITCHD_"+name)
			}
		}
		for _, m := range code.FindAllStringSubmatch(cells[4], -1) {
			row.fields = append(row.fields, "KEYSWITCHD_"+m[1])
		}
		if _, twice := all[id[1]]; twice {
			t.Errorf("docs/journal.md: %s is there twice", id[1])
		}
		all[id[1]] = row
	}
	return all
}

// installed reports whether `make install` puts path into the documentation folder.
func installed(path string) bool {
	if path == "reference.toml" {
		path = filepath.Join("internal", "config", path)
	}
	_, err := os.Stat(filepath.Join("..", "..", path))
	return err == nil
}
