package hardening

import (
	"context"
	"fmt"
	"strings"
)

// Expected is what a policy means in the keywords of one sshd, for those who ask sshd by themselves.
type Expected struct {
	policy Policy
	list   []directive
}

// Expect asks the sshd of o what it supports, and changes nothing.
func Expect(ctx context.Context, o Options) (*Expected, error) {
	if err := o.fill(); err != nil {
		return nil, err
	}
	a, err := o.abilities(ctx, nil)
	if err != nil {
		return nil, err
	}
	list, err := o.Policy.directives(a)
	if err != nil {
		return nil, fmt.Errorf("hardening: %w", err)
	}
	return &Expected{o.Policy, list}, nil
}

// Keywords are the governed keywords in lower case, as `sshd -T` prints them.
func (e *Expected) Keywords() []string {
	out := make([]string, len(e.list))
	for i, d := range e.list {
		out[i] = alias(strings.ToLower(d.keyword))
	}
	return out
}

// Shortfalls says where sshd's account of a connection falls short of the policy, one line each; none means that it holds.
func (e *Expected) Shortfalls(v Values, c Connection) []string {
	var lines []string
	for _, d := range e.list {
		if text := e.policy.shortfall(v, d, c); text != "" {
			lines = append(lines, text)
		}
	}
	return lines
}
