package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"keyswitchd/internal/keyswitch"
	"keyswitchd/internal/override"
	"keyswitchd/internal/status"
)

func TestOverrideExitCodes(t *testing.T) {
	for _, c := range []struct {
		err  error
		code int
		says string
	}{
		{status.ErrNotRunning, 4, "keyswitchd is not running"},
		{errors.New("override: asking keyswitchd over D-Bus: gone"), 69, "gone"},
		{fmt.Errorf("override: asking keyswitchd over D-Bus: %w", context.Canceled), 130, "broken off"},
		{&override.Refusal{Name: override.NotOnSite, Text: "session 5 comes from 192.0.2.7; turn the key on"}, 77, "on was refused: session 5 comes from"},
		{&override.Refusal{Name: override.NotAuthorized, Text: "no"}, 77, "refused"},
		{&override.Refusal{Name: override.Cancelled, Text: "no"}, 77, "refused"},
		{&override.Refusal{Name: override.BadTime, Text: "no"}, 77, "refused"},
		{&override.Refusal{Name: override.Unavailable, Text: "asking polkit: no answer"}, 69, "polkit"},
		{&override.Refusal{Name: override.Busy, Text: "no"}, 75, "refused"},
		{&override.Refusal{Name: override.TooMany, Text: "no"}, 75, "refused"},
		{&override.Refusal{Name: override.NotInForce, Text: "keyswitch: the disk is full"}, 1, "disk is full"},
	} {
		var got *exitError
		if err := overrideError(keyswitch.Override{Mode: keyswitch.ForceOn}, c.err); !errors.As(err, &got) || got.Code != c.code || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v: %+v, want exit code %d and %q", c.err, err, c.code, c.says)
		}
	}
}

// What the person reads in the end, and when the command stops waiting for it.
func TestOverrideTold(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.Local)
	until := now.Add(30 * time.Minute)
	for _, c := range []struct {
		name    string
		mode    keyswitch.OverrideMode
		s       status.Status
		settled bool
		wanted  bool
		says    string
	}{
		{"on: the status is of before", keyswitch.ForceOn, status.Status{Override: "auto", SSH: "inactive", Reason: "the key is off"}, false, false, "closed: the key is off"},
		{"on: sshd starts", keyswitch.ForceOn, status.Status{Override: "on", SSH: "activating", Open: true}, false, true, "open"},
		{"on", keyswitch.ForceOn, status.Status{Override: "on", SSH: "active", Open: true, Expires: &until}, true, true, "SSH is open until Sun 12:30:00 (30m0s), without the key"},
		{"on: it does not start", keyswitch.ForceOn, status.Status{Override: "on", SSH: "failed", Fault: true, Reason: "no sshd", Advice: "install it"}, true, false, "closed: no sshd; install it"},
		{"on: it does not start, once", keyswitch.ForceOn, status.Status{Override: "on", SSH: "failed"}, false, false, "closed"},
		{"off: sshd still runs", keyswitch.ForceOff, status.Status{Override: "off", SSH: "active", Open: true}, false, false, "open"},
		{"off: sshd ends", keyswitch.ForceOff, status.Status{Override: "off", SSH: "deactivating"}, false, true, "closed"},
		{"off", keyswitch.ForceOff, status.Status{Override: "off", SSH: "inactive"}, true, true, "stays closed"},
		{"auto: the key is off", keyswitch.Auto, status.Status{Override: "auto", SSH: "inactive", Key: "off", Code: "key-off"}, true, true, "it is off, and SSH is closed"},
		{"auto: the key is on, sshd starts", keyswitch.Auto, status.Status{Override: "auto", SSH: "inactive", Key: "on", Code: "key-on"}, false, true, "closed"},
		{"auto: the key is on", keyswitch.Auto, status.Status{Override: "auto", SSH: "active", Open: true, Key: "on", Code: "key-on"}, true, true, "it is on, and SSH is open"},
		{"auto: the key is on and has expired", keyswitch.Auto, status.Status{Override: "auto", SSH: "inactive", Key: "on", Code: "expired"}, true, true, "it is on, and SSH is closed"},
		{"auto: sshd still runs", keyswitch.Auto, status.Status{Override: "auto", SSH: "active", Open: true, Key: "off", Code: "key-off"}, false, true, "open"},
	} {
		o := keyswitch.Override{Mode: c.mode}
		if got := settled(o, c.s); got != c.settled {
			t.Errorf("%s: settled %t", c.name, got)
		}
		if line, wanted := told(o, c.s, now); wanted != c.wanted || !strings.Contains(line, c.says) {
			t.Errorf("%s: %q, as wanted: %t; want %q", c.name, line, wanted, c.says)
		}
	}
}
