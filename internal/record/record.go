// Package record names what keyswitchd tells the journal. Each entry is of one kind, and each kind has a MESSAGE_ID that
// stays what it is for ever, so that a question such as "who opened SSH in the past year" has an answer after many versions.
// deploy/keyswitchd.catalog explains each kind to `journalctl -x`; docs/journal.md lists them with their fields.
//
// What it refuses to do: to hold up who logs. A journal that is stopped, restarted or full delays no decision of the daemon.
package record

import "log/slog"

// key is the slog key of the kind. The handler makes MESSAGE_ID= of it.
const key = "message_id"

// Kind is a kind of entry: sd_journal_print(3), systemd.journal-fields(7).
type Kind struct {
	Name string // one word for a person, KEYSWITCHD_KIND=
	ID   string // a random 128-bit id of systemd-id128(1), MESSAGE_ID=; fixed for ever
}

// The kinds. An id is never used again for something else.
var (
	// Opened: SSH is reachable, with a verified configuration.
	Opened = Kind{"opened", "44b6219292ae4efba63802668d331d81"}
	// Closed: SSH is confirmed to be closed after it was open.
	Closed = Kind{"closed", "6a91e545dd084ef682b612685762846f"}
	// KeyTurned: the key has another position, for its whole debounce time.
	KeyTurned = Kind{"key-turned", "58d216b610ae4c4e88ab0c06372a7698"}
	// Refused: the key is on, and SSH is not permitted all the same, for a reason that is no fault.
	Refused = Kind{"refused", "69817f912d114b99b4f2b78e4f3a1e45"}
	// Fault: something is broken; SSH is closed, or being closed, until it is mended.
	Fault = Kind{"fault", "9a28a126c6104b66ac6d82fd2a6fc86b"}
	// FaultOver: what was broken is whole again.
	FaultOver = Kind{"fault-over", "4fa15eb43c044de8bfb4e8fe31a98c95"}
	// StartFailed: systemd or sshd did not start; it is tried again.
	StartFailed = Kind{"start-failed", "6fc85071a71c4b618e4a73d4752b7f52"}
	// HardeningRefused: sshd's configuration is not what the policy wants; SSH does not start.
	HardeningRefused = Kind{"hardening-refused", "5b39995a3a23429f8fcc051e8c1900ee"}
	// ClosedByOthers: SSH was permitted and open, and somebody else stopped it, or it ended by itself.
	ClosedByOthers = Kind{"closed-by-others", "f4ac1d083e384230b4442a5423e6ce5d"}
	// SessionsWarned: the people who are logged in were told on their terminals.
	SessionsWarned = Kind{"sessions-warned", "546ca56f19844ea9bbda31a5f8a69d62"}
	// SessionsEnded: the sessions are being ended.
	SessionsEnded = Kind{"sessions-ended", "126cf09f38854efe8851432a3476bfcc"}
	// SessionsLeft: sessions could not be ended.
	SessionsLeft = Kind{"sessions-left", "227dd6eda66e43f08e5aa5167a6bf94a"}
	// Expiring: SSH will close by itself soon.
	Expiring = Kind{"expiring", "b324adfb0fdf4e5c8d1f8d9f189cb5aa"}
	// Expired: a time limit has closed SSH.
	Expired = Kind{"expired", "f40624e62b0241a79a886b2b61a154b4"}
	// Override: somebody at the console overrides the key, or ends that.
	Override = Kind{"override", "3b568c75328a4b4194c86e22930d7a18"}
	// OverrideRefused: somebody wanted to, and may not, or it could not be put in force.
	OverrideRefused = Kind{"override-refused", "326765bd7fbf45f2ae676c3ba19ad06c"}
	// Reloaded: the configuration was read again.
	Reloaded = Kind{"reloaded", "e381e0115a8e454aad5de9a9d0f2496b"}
	// ReloadRefused: the configuration was not taken in; the former one is in force.
	ReloadRefused = Kind{"reload-refused", "79a6487177fe470bad2f71ff02cfa2b2"}
	// NotStarted: the configuration or the command line is wrong; SSH stays closed until it is mended.
	NotStarted = Kind{"not-started", "d01e701b67c446118ce61edb39a80cda"}
	// Stopped: the daemon is told to end; SSH is closed, or is closed first.
	Stopped = Kind{"stopped", "825dbe3d3d914318926e3f281edbc29d"}
	// GaveUp: the daemon ends because it can't hold its promise; systemd closes SSH in its place and starts it again.
	GaveUp = Kind{"gave-up", "1624a1dbb0874661838e018fc1786a14"}
	// Problem: something is wrong that changes nothing for SSH.
	Problem = Kind{"problem", "ec190920ee0b44d3a1cb09d4aac5e38a"}
	// Lost: the journal could not take everything.
	Lost = Kind{"lost", "acb85d02e1184220af12ef3a25a6e586"}
)

// Kinds are all of them, in the order of docs/journal.md.
func Kinds() []Kind {
	return []Kind{
		Opened, Closed, KeyTurned, Refused, Fault, FaultOver, StartFailed, HardeningRefused, ClosedByOthers,
		SessionsWarned, SessionsEnded, SessionsLeft, Expiring, Expired, Override, OverrideRefused,
		Reloaded, ReloadRefused, NotStarted, Stopped, GaveUp, Problem, Lost,
	}
}

// String is the name.
func (k Kind) String() string { return k.Name }

// Attr says of which kind an entry is:
//
//	log.Info("SSH is open: the key is on", record.Opened.Attr(), "reason", "key-on")
func (k Kind) Attr() slog.Attr { return slog.Any(key, k) }
