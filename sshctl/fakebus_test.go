package sshctl

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/godbus/dbus/v5"
)

// fakeBus is a message bus in this process, with match rules as dbus-daemon has them and one service behind them: answer.
// It exists for the races that a real one can't be made to lose on purpose.
type fakeBus struct {
	t       *testing.T
	address string
	answer  func(c call) // each call runs on a goroutine of its own

	mu       sync.Mutex
	listener net.Listener
	conns    map[*fakeConn]bool
	owners   map[string]string // well-known name -> unique name
	wg       sync.WaitGroup
}

type fakeConn struct {
	bus    *fakeBus
	net    net.Conn
	mu     sync.Mutex // serialises writes
	serial uint32
	rules  []map[string]string // under bus.mu
}

// call is one method call that wants an answer.
type call struct {
	conn   *fakeConn
	serial uint32
	dest   string
	path   dbus.ObjectPath
	method string // interface.member
	body   []any
}

const (
	systemdOwner = ":1.1"
	loginOwner   = ":1.2"
)

func newFakeBus(t *testing.T) *fakeBus {
	b := &fakeBus{t: t, conns: make(map[*fakeConn]bool)}
	b.owners = map[string]string{systemdName: systemdOwner, loginName: loginOwner}
	path := filepath.Join(t.TempDir(), "bus")
	b.address = "unix:path=" + path
	b.listen()
	t.Cleanup(func() {
		b.down()
		b.wg.Wait()
	})
	return b
}

func (b *fakeBus) listen() {
	b.mu.Lock()
	defer b.mu.Unlock()
	l, err := net.Listen("unix", strings.TrimPrefix(b.address, "unix:path="))
	if err != nil {
		b.t.Fatal(err)
	}
	b.listener = l
	b.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fc := &fakeConn{bus: b, net: c}
			b.mu.Lock()
			b.conns[fc] = true
			b.mu.Unlock()
			b.wg.Go(func() { fc.serve() })
		}
	})
}

// down closes the bus and all its connections.
func (b *fakeBus) down() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.listener.Close()
	for c := range b.conns {
		c.net.Close()
	}
}

// setOwner gives a name to a peer or ("") to nobody, and says so.
func (b *fakeBus) setOwner(name, owner string) {
	b.mu.Lock()
	old := b.owners[name]
	b.owners[name] = owner
	b.mu.Unlock()
	b.signal("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus.NameOwnerChanged", name, old, owner)
}

func (c *fakeConn) serve() {
	defer func() {
		c.net.Close()
		c.bus.mu.Lock()
		delete(c.bus.conns, c)
		c.bus.mu.Unlock()
	}()
	in := bufio.NewReader(c.net)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		answer := ""
		switch f := strings.Fields(strings.TrimLeft(line, "\x00")); {
		case len(f) == 1 && f[0] == "AUTH":
			answer = "REJECTED EXTERNAL"
		case f[0] == "AUTH", f[0] == "DATA":
			answer = "OK 0123456789abcdef0123456789abcdef"
		case f[0] == "BEGIN":
		default:
			answer = "ERROR"
		}
		if answer == "" {
			break
		}
		if _, err := fmt.Fprintf(c.net, "%s\r\n", answer); err != nil {
			return
		}
	}
	for {
		m, err := dbus.DecodeMessage(in)
		if err != nil {
			return
		}
		if m.Type != dbus.TypeMethodCall {
			continue
		}
		k := call{conn: c, serial: m.Serial(), body: m.Body}
		k.dest, _ = m.Headers[dbus.FieldDestination].Value().(string)
		k.path, _ = m.Headers[dbus.FieldPath].Value().(dbus.ObjectPath)
		iface, _ := m.Headers[dbus.FieldInterface].Value().(string)
		member, _ := m.Headers[dbus.FieldMember].Value().(string)
		k.method = iface + "." + member
		if k.dest == "org.freedesktop.DBus" {
			c.bus.own(k)
			continue
		}
		c.bus.mu.Lock()
		owner := c.bus.owners[k.dest]
		c.bus.mu.Unlock()
		if owner == "" {
			k.fail("org.freedesktop.DBus.Error.ServiceUnknown", "The name is not activatable")
			continue
		}
		c.bus.wg.Go(func() { c.bus.answer(k) })
	}
}

// own answers for the bus itself.
func (b *fakeBus) own(k call) {
	switch k.method {
	case "org.freedesktop.DBus.Hello":
		k.reply(":1.99")
	case "org.freedesktop.DBus.AddMatch":
		rule := make(map[string]string)
		for part := range strings.SplitSeq(k.body[0].(string), ",") {
			key, value, _ := strings.Cut(strings.TrimSpace(part), "=")
			rule[key] = strings.Trim(value, "'")
		}
		b.mu.Lock()
		k.conn.rules = append(k.conn.rules, rule)
		b.mu.Unlock()
		k.reply()
	case "org.freedesktop.DBus.GetNameOwner":
		b.mu.Lock()
		owner := b.owners[k.body[0].(string)]
		b.mu.Unlock()
		if owner == "" {
			k.fail("org.freedesktop.DBus.Error.NameHasNoOwner", "no owner")
			return
		}
		k.reply(owner)
	default:
		k.fail("org.freedesktop.DBus.Error.UnknownMethod", k.method)
	}
}

// signal sends to each connection with a rule for it.
func (b *fakeBus) signal(sender string, path dbus.ObjectPath, name string, body ...any) {
	i := strings.LastIndex(name, ".")
	m := &dbus.Message{Type: dbus.TypeSignal, Body: body, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldSender:    dbus.MakeVariant(sender),
		dbus.FieldPath:      dbus.MakeVariant(path),
		dbus.FieldInterface: dbus.MakeVariant(name[:i]),
		dbus.FieldMember:    dbus.MakeVariant(name[i+1:]),
	}}
	if len(body) > 0 {
		m.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(body...))
	}
	arg0, _ := append(body, "")[0].(string)
	b.mu.Lock()
	var to []*fakeConn
	for c := range b.conns {
		for _, r := range c.rules {
			ok := true
			for key, want := range r {
				switch key {
				case "type":
					ok = ok && want == "signal"
				case "sender":
					ok = ok && (want == sender || b.owners[want] == sender)
				case "path":
					ok = ok && want == string(path)
				case "interface":
					ok = ok && want == name[:i]
				case "member":
					ok = ok && want == name[i+1:]
				case "arg0":
					ok = ok && want == arg0
				default:
					b.t.Errorf("match rule with unknown key %q", key)
				}
			}
			if ok {
				to = append(to, c)
				break
			}
		}
	}
	b.mu.Unlock()
	for _, c := range to {
		c.send(m)
	}
}

// send writes one message. That the peer is gone is part of what is tested.
func (c *fakeConn) send(m *dbus.Message) {
	var buf bytes.Buffer
	if err := m.EncodeTo(&buf, binary.LittleEndian); err != nil {
		c.bus.t.Errorf("fake bus: %v", err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.serial++
	binary.LittleEndian.PutUint32(buf.Bytes()[8:], c.serial) // DecodeMessage and EncodeTo leave no other way to set it
	_, _ = c.net.Write(buf.Bytes())
}

func (k call) reply(body ...any) {
	m := &dbus.Message{Type: dbus.TypeMethodReply, Body: body, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldReplySerial: dbus.MakeVariant(k.serial),
		dbus.FieldSender:      dbus.MakeVariant(systemdOwner),
	}}
	if len(body) > 0 {
		m.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(body...))
	}
	k.conn.send(m)
}

func (k call) fail(name, text string) {
	k.conn.send(&dbus.Message{Type: dbus.TypeError, Body: []any{text}, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldReplySerial: dbus.MakeVariant(k.serial),
		dbus.FieldErrorName:   dbus.MakeVariant(name),
		dbus.FieldSignature:   dbus.MakeVariant(dbus.SignatureOf(text)),
		dbus.FieldSender:      dbus.MakeVariant(systemdOwner),
	}})
}
