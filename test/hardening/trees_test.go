//go:build sshds

package hardening

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"keyswitchd/hardening"
	"keyswitchd/test/sshds"
)

// bench is what all trees of one release are measured with.
type bench struct {
	t        testing.TB
	defaults hardening.Values
	plain    map[string][]string // the same, as printed
	policies []policy
	counts   map[string]int
	release  hardening.Release
	who      []hardening.Connection
	old      bool // it has no PerSourcePenalties
}

// policy is one that trees are hardened with, and what it means to this release.
type policy struct {
	hardening.Policy
	expected *hardening.Expected
	governed map[string]bool
	alone    map[hardening.Connection]map[string][]string // what sshd says of the drop-in with nothing beside it
}

// TestTrees lays random configurations, each with its own seed, and checks for every one of them that the own reader
// sees what sshd sees, that after hardening the policy holds for every connection that is tried, that nothing else has
// changed, and that restoring gives the files back byte for byte.
func TestTrees(t *testing.T) {
	sshds.Each(t, "", func(t *testing.T) {
		b := newBench(t)
		t.Logf("%d trees from seed %d on", *trees, *seed)
		for s := *seed; s < *seed+uint64(*trees); s++ {
			tr := generate(s, b.old)
			problem := b.try(s, tr)
			if problem == "" {
				continue
			}
			if *small {
				tr = b.shrink(s, tr, problem)
			}
			t.Errorf("seed %d: %s\nsmallest tree: %s\n%s", s, problem, b.try(s, tr), tr)
			if b.counts["failed"]++; b.counts["failed"] == 5 {
				t.Fatal("enough")
			}
		}
		for _, what := range slices.Sorted(maps.Keys(b.counts)) {
			t.Logf("%6d %s", b.counts[what], what)
		}
		b.judgeRefusals()
		for _, what := range []string{"accepted by sshd", "refused by sshd", "hardened", "files changed and restored"} {
			if *trees >= 1000 && b.counts[what] < *trees/20 {
				t.Errorf("only %d trees were %s: the generator is of no use", b.counts[what], what)
			}
		}
	})
}

func newBench(t testing.TB) *bench {
	b := &bench{t: t, counts: map[string]int{}}
	bare := newTree()
	bare.put(mainFile, "HostKey "+hostKey+"\n")
	lay(t, bare)
	text, err := ask(t, mainFile, hardening.Connection{})
	if err != nil {
		t.Fatal(err)
	}
	version, err := exec.CommandContext(t.Context(), "/usr/sbin/sshd", "-V").CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	if b.release, err = hardening.ParseRelease(string(version)); err != nil {
		t.Fatal(err)
	}
	b.who = connections(b.release)
	b.plain = printed(text)
	_, known := b.plain["persourcepenalties"]
	b.old = !known
	if b.defaults, err = hardening.ParseValues(text); err != nil {
		t.Fatal(err)
	}
	usual := hardening.DefaultPolicy()
	names := usual
	names.AllowUsers, names.DenyUsers, names.Port = []string{"pi", "alice"}, []string{"bob"}, 10022
	strict := usual
	strict.Profile, strict.AllowGroups, strict.Listen = hardening.Strict, []string{"ssh"}, []string{"127.0.0.1"}
	loose := usual
	loose.Passwords, loose.RootLogin, loose.TCPForwarding, loose.X11Forwarding = true, hardening.RootKeysOnly, hardening.ForwardLocal, true
	except := names
	local, forced, one, yes := hardening.ForwardLocal, hardening.RootForcedCommands, 1, true
	except.Match = []hardening.Exception{
		{Criterion: "User alice Address 10.0.0.0/8,192.168.0.0/16", TCPForwarding: &local, MaxSessions: &one},
		{Criterion: "User root Address 127.0.0.1", RootLogin: &forced, X11Forwarding: &yes},
		{Criterion: "Group ssh,!wheel", Passwords: &yes, TCPForwarding: &local},
	}
	for _, p := range []hardening.Policy{usual, names, strict, loose, except} {
		b.policies = append(b.policies, b.alone(p))
	}
	return b
}

// alone finds out what the policy is when nothing else is there.
func (b *bench) alone(p hardening.Policy) policy {
	only := newTree()
	only.put(mainFile, "Include "+dropIns+"*.conf\n")
	lay(b.t, only)
	o := options(p)
	if _, err := hardening.Harden(b.t.Context(), o); err != nil {
		b.t.Fatal(err)
	}
	alone := map[hardening.Connection]map[string][]string{}
	for _, c := range slices.Concat([]hardening.Connection{{}}, b.who) {
		text, err := ask(b.t, mainFile, c)
		if err != nil {
			b.t.Fatal(err)
		}
		alone[c] = printed(text)
	}
	expected, err := hardening.Expect(b.t.Context(), o)
	if err != nil {
		b.t.Fatal(err)
	}
	out := policy{Policy: p, expected: expected, governed: map[string]bool{}, alone: alone}
	for _, keyword := range expected.Keywords() {
		out.governed[keyword] = true
	}
	return out
}

const backup = "/var/lib/keyswitchd/backup"

func options(p hardening.Policy) hardening.Options {
	return hardening.Options{Policy: p, Backup: backup}
}

// try is everything that is checked of one tree; "" if all is well.
func (b *bench) try(s uint64, tr *tree) string {
	draw := rand.New(rand.NewPCG(s, 4))
	p := b.policies[draw.IntN(len(b.policies))]
	who := []hardening.Connection{{}}
	for _, i := range draw.Perm(len(b.who))[:2] {
		who = append(who, b.who[i])
	}
	lay(b.t, tr)
	if err := os.RemoveAll(backup); err != nil {
		b.t.Fatal(err)
	}
	before := snapshot(b.t)
	if tr.has(fifo) { // sshd would wait for it for good
		if _, err := hardening.ReadFiles(mainFile, b.release); err != nil {
			return b.mustRefuse(p, before, err)
		}
	}

	former := make([]map[string][]string, len(who))
	refused := true
	for i, c := range who[:2] {
		text, refusal := ask(b.t, mainFile, c)
		if problem := b.readerProblem(c, text, refusal); problem != "" {
			return fmt.Sprintf("for %q: %s", c.Spec(), problem)
		}
		if refusal == nil {
			former[i] = printed(text)
			refused = false
		}
	}
	if refused {
		b.counts["refused by sshd"]++
	} else {
		b.counts["accepted by sshd"]++
	}

	r, err := hardening.Harden(b.t.Context(), options(p.Policy))
	if err != nil {
		if diff := changes(before, snapshot(b.t)); len(diff) > 0 {
			return "not hardened, but changed: " + strings.Join(diff, "; ") + "; error: " + err.Error()
		}
		if refused {
			b.counts["refused by both"]++
			return ""
		}
		return b.refusal(err)
	}
	if _, err := os.Lstat(ran); err == nil {
		return "a Match exec was run"
	}
	if !r.Verified {
		return "no error, but not verified"
	}
	b.counts["hardened"]++
	for i, c := range who {
		text, refusal := ask(b.t, mainFile, c)
		if refusal != nil {
			if c == (hardening.Connection{}) && strings.Contains(refusal.Error(), "not in connection test specification") {
				continue
			}
			return fmt.Sprintf("hardened, but sshd refuses it for %q: %v", c.Spec(), refusal)
		}
		if problem := p.judge(c, text, former[i]); problem != "" {
			return fmt.Sprintf("hardened, but for %q: %s", c.Spec(), problem)
		}
	}
	return b.restored(options(p.Policy), before)
}

// judge compares one account of the hardened sshd with the policy by two ways, and with the former account.
func (p policy) judge(c hardening.Connection, text string, former map[string][]string) string {
	values, err := hardening.ParseValues(text)
	if err != nil {
		return err.Error()
	}
	if lines := p.expected.Shortfalls(values, c); len(lines) > 0 {
		return "the policy does not hold: " + strings.Join(lines, "; ")
	}
	now := printed(text)
	for keyword := range p.governed {
		if p.free(keyword) {
			continue
		}
		if !slices.Equal(set(now[keyword]), set(p.alone[c][keyword])) {
			return fmt.Sprintf("%s is %q, the policy alone gives %q", keyword, now[keyword], p.alone[c][keyword])
		}
	}
	for keyword := range former { // none if it wasn't asked
		if !p.governed[keyword] && !slices.Equal(set(now[keyword]), set(former[keyword])) {
			return fmt.Sprintf("%s was %q, is %q, and is none of the policy's", keyword, former[keyword], now[keyword])
		}
	}
	return ""
}

// set is a list in lower case, in order, without what stands there twice.
func set(list []string) []string {
	list = lower(list)
	slices.Sort(list)
	return slices.Compact(list)
}

// free are the keywords that a file may make narrower than the policy.
func (p policy) free(keyword string) bool {
	switch keyword {
	case "allowusers":
		return len(p.AllowUsers) == 0
	case "allowgroups":
		return len(p.AllowGroups) == 0
	case "listenaddress":
		return len(p.Listen) == 0
	case "denyusers":
		return true
	}
	return false
}

// restored puts everything back and compares it with the first state.
func (b *bench) restored(o hardening.Options, before map[string]string) string {
	if len(changes(before, snapshot(b.t))) > 1 { // more than the drop-in
		b.counts["files changed and restored"]++
	}
	if _, err := hardening.Restore(b.t.Context(), o); err != nil {
		return "restoring: " + err.Error()
	}
	if diff := changes(before, snapshot(b.t)); len(diff) > 0 {
		return "restored, but: " + strings.Join(diff, "; ")
	}
	return ""
}
