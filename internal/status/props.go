package status

import (
	"fmt"
	"time"

	"github.com/godbus/dbus/v5"
)

func usec(t *time.Time) uint64 {
	if t == nil || t.IsZero() {
		return 0
	}
	return uint64(t.UnixMicro())
}

func fromUsec(v uint64) *time.Time {
	if v == 0 {
		return nil
	}
	t := time.UnixMicro(int64(v))
	return &t
}

// toProps is s as D-Bus properties. Times are microseconds since 1970 (0: none), as systemd has them.
func toProps(s Status) map[string]dbus.Variant {
	list := func(l []string) dbus.Variant { return dbus.MakeVariant(append([]string{}, l...)) }
	return map[string]dbus.Variant{
		"Key": dbus.MakeVariant(s.Key), "SSH": dbus.MakeVariant(s.SSH), "Unit": dbus.MakeVariant(s.Unit),
		"Open": dbus.MakeVariant(s.Open), "Fault": dbus.MakeVariant(s.Fault), "Code": dbus.MakeVariant(s.Code),
		"Reason": dbus.MakeVariant(s.Reason), "Advice": dbus.MakeVariant(s.Advice),
		"Since": dbus.MakeVariant(usec(&s.Since)), "LED": dbus.MakeVariant(s.LED), "LEDError": dbus.MakeVariant(s.LEDError),
		"Sessions": dbus.MakeVariant(uint32(s.Sessions)), "Override": dbus.MakeVariant(s.Override),
		"OverrideBy": dbus.MakeVariant(s.OverrideBy), "SessionsEnd": dbus.MakeVariant(usec(s.SessionsEnd)),
		"Units":             dbus.MakeVariant(append([]Unit{}, s.Units...)),
		"Expires":           dbus.MakeVariant(usec(s.Expires)),
		"HardeningVerified": dbus.MakeVariant(s.Hardening.Verified), "HardeningAt": dbus.MakeVariant(usec(s.Hardening.At)),
		"HardeningProblems": list(s.Hardening.Problems), "Problems": list(s.Problems),
	}
}

func fromProps(p map[string]dbus.Variant) (s Status, err error) {
	var since, expires, at, sessionsEnd uint64
	var sessions uint32
	for name, to := range map[string]any{
		"Key": &s.Key, "SSH": &s.SSH, "Unit": &s.Unit, "Open": &s.Open, "Fault": &s.Fault, "Code": &s.Code,
		"Reason": &s.Reason, "Advice": &s.Advice, "Since": &since, "LED": &s.LED, "LEDError": &s.LEDError,
		"Sessions": &sessions, "Override": &s.Override, "Expires": &expires,
		"OverrideBy": &s.OverrideBy, "SessionsEnd": &sessionsEnd, "Units": &s.Units,
		"HardeningVerified": &s.Hardening.Verified, "HardeningAt": &at,
		"HardeningProblems": &s.Hardening.Problems, "Problems": &s.Problems,
	} {
		v, ok := p[name]
		if !ok {
			return Status{}, fmt.Errorf("status: the daemon's answer has no %s; is it another version than this command?", name)
		}
		if err := v.Store(to); err != nil {
			return Status{}, fmt.Errorf("status: reading %s of the daemon's answer: %w", name, err)
		}
	}
	if t := fromUsec(since); t != nil {
		s.Since = *t
	}
	s.SessionsEnd = fromUsec(sessionsEnd)
	s.Expires, s.Hardening.At, s.Sessions, s.Running = fromUsec(expires), fromUsec(at), int(sessions), true
	return s, nil
}
