package config

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"keyswitchd/internal/spelling"
)

// positions finds the line, from 1, of every table and key of a document that parses. The decoder gives
// positions only for its own errors; ours are found after it.
func positions(data []byte) map[string]int {
	at := map[string]int{}
	var p unstable.Parser
	p.Reset(data)
	var table string
	for p.NextExpression() {
		e := p.Expression()
		var parts []string
		line := 0
		for it := e.Key(); it.Next(); {
			n := it.Node()
			parts = append(parts, string(n.Data))
			if line == 0 {
				line = p.Shape(n.Raw).Start.Line
			}
		}
		key := strings.Join(parts, ".")
		switch e.Kind {
		case unstable.Table, unstable.ArrayTable:
			table = key
		case unstable.KeyValue:
			if table != "" {
				key = table + "." + key
			}
		default:
			continue
		}
		if _, dup := at[key]; !dup {
			at[key] = line
		}
	}
	return at
}

// lineOf is the line of key, or of the closest table around it, or 0.
func lineOf(at map[string]int, key string) int {
	for {
		if line, ok := at[key]; ok {
			return line
		}
		i := strings.LastIndexByte(key, '.')
		if i < 0 {
			return 0
		}
		key = key[:i]
	}
}

// explain turns the decoder's errors into ours: the place, what is wrong, what would be right.
func explain(name string, data []byte, err error) error {
	var missing *toml.StrictMissingError
	if errors.As(err, &missing) {
		var errs []error
		for i := range missing.Errors {
			e := &missing.Errors[i]
			line, col := e.Position()
			key := strings.Join(e.Key(), ".")
			errs = append(errs, &Error{File: name, Line: line, Column: col, Key: key, Msg: unknown(key)})
		}
		return errors.Join(errs...)
	}
	var bad *toml.DecodeError
	if errors.As(err, &bad) {
		line, col := bad.Position()
		key := strings.Join(bad.Key(), ".")
		if key == "" {
			key = keyAt(data, line)
		}
		msg := strings.TrimPrefix(bad.Error(), "toml: ")
		if kind, ok := keys()[key]; ok && strings.Contains(msg, "cannot decode") {
			msg = "this is not of the right kind; write " + kind
		}
		return &Error{File: name, Line: line, Column: col, Key: key, Msg: msg}
	}
	return &Error{File: name, Msg: strings.TrimPrefix(err.Error(), "toml: ")}
}

func keyAt(data []byte, line int) string {
	for key, at := range positions(data) {
		if at == line {
			if _, ok := keys()[key]; ok {
				return key
			}
		}
	}
	return ""
}

func unknown(key string) string {
	known := slices.Sorted(maps.Keys(keys()))
	best, distance := "", 4
	last := key[strings.LastIndexByte(key, '.')+1:]
	for _, k := range known {
		// The right name in the wrong table is as common a slip as a wrong letter.
		if k[strings.LastIndexByte(k, '.')+1:] == last {
			best, distance = k, 0
		}
		if d := spelling.Distance(key, k); d < distance {
			best, distance = k, d
		}
	}
	if best == last && key != last {
		return fmt.Sprintf("there is no such key here; %s belongs at the top of the file, above the first [table]", best)
	}
	if best != "" {
		return fmt.Sprintf("there is no such key; did you mean %s?", best)
	}
	return "there is no such key; `keyswitchd config --reference` shows all of them"
}

// keys lists every key of the file with the kind of value it wants, read off the types, so that it
// can't drift from them.
func keys() map[string]string {
	out := map[string]string{}
	var walk func(prefix string, t reflect.Type)
	walk = func(prefix string, t reflect.Type) {
		for i := range t.NumField() {
			f := t.Field(i)
			tag, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
			if tag == "" || tag == "-" {
				continue
			}
			key := prefix + tag
			kind := f.Type.Kind()
			if kind == reflect.Pointer {
				kind = f.Type.Elem().Kind()
			}
			switch kind {
			case reflect.Struct:
				walk(key+".", f.Type)
			case reflect.String:
				out[key] = `text in quotes, such as key = "value"`
			case reflect.Bool:
				out[key] = "true or false, without quotes"
			case reflect.Slice:
				if f.Type.Elem().Kind() == reflect.Struct { // an array of tables
					walk(key+".", f.Type.Elem())
					break
				}
				out[key] = `a list, such as ["one", "two"]`
			default:
				out[key] = "a whole number, without quotes"
			}
		}
	}
	walk("", reflect.TypeFor[file]())
	return out
}
