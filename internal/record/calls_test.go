package record

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// Whatever the daemon logs is of a kind: no call of a logger is without one. Debugging isn't for the journal.
func TestEveryEntryHasAKind(t *testing.T) {
	calls := 0
	for _, room := range []string{"cmd/keyswitchd", "internal/keyswitch", "internal/override", "internal/status", "internal/record", "sshctl", "gpio"} {
		err := filepath.WalkDir(filepath.Join("..", "..", room), func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			set := token.NewFileSet()
			file, err := parser.ParseFile(set, path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				f, ok := n.(*ast.FuncDecl)
				if !ok {
					return true
				}
				ast.Inspect(f, func(n ast.Node) bool {
					call, ok := n.(*ast.CallExpr)
					if !ok || !logs(call) {
						return true
					}
					calls++
					// The attributes may have been put together before, in the same function.
					if !mentionsAttr(call) && !(hasSpread(call) && mentionsAttr(f)) {
						t.Errorf("%s: an entry without a kind: record.X.Attr()", set.Position(call.Pos()))
					}
					return true
				})
				return false
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if calls < 10 {
		t.Errorf("only %d calls of a logger were found", calls)
	}
}

// logs reports whether a call is one of a logger named log or Log.
func logs(call *ast.CallExpr) bool {
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	switch method.Sel.Name {
	case "Info", "Warn", "Error", "Log", "LogAttrs", "InfoContext", "WarnContext", "ErrorContext":
	default:
		return false
	}
	switch on := method.X.(type) {
	case *ast.Ident:
		return on.Name == "log"
	case *ast.SelectorExpr:
		return on.Sel.Name == "Log" || on.Sel.Name == "log"
	}
	return false
}

func mentionsAttr(in ast.Node) (found bool) {
	ast.Inspect(in, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == "Attr" {
			found = true
		}
		return !found
	})
	return found
}

func hasSpread(call *ast.CallExpr) bool { return call.Ellipsis.IsValid() }
