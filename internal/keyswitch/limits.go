package keyswitch

import "time"

// soonMost and soonPart bound how long before SSH closes by itself that is told: 5 minutes, or a tenth of the whole time if that is less.
const (
	soonMost = 5 * time.Minute
	soonPart = 10
)

// forced: SSH is to be open whatever the key says.
func (f Facts) forced() bool { return f.Override == ForceOn && f.Now < f.OverrideUntil }

// spent: an override is over that began with the key on, and the key has not been turned off since. What somebody opened for a
// while must not go on without an end because of a key that was forgotten in its switch. A key that was turned on during the
// override is somebody's fresh wish, and holds.
func (f Facts) spent() bool {
	return f.Spent || f.Override == ForceOn && f.Now >= f.OverrideUntil && f.OnSince <= f.OverrideSince
}

// closes is the moment at which SSH closes by itself as things are now, and the moment from which on that is told. 0 is never.
func (f Facts) closes() (at, soon time.Duration) {
	var whole time.Duration
	if f.forced() {
		then := f
		then.Now = f.OverrideUntil
		if !asked(then).Permit {
			at, whole = f.OverrideUntil, f.OverrideFor
		}
	}
	if at == 0 && f.MaxOn > 0 { // the key asks, or will when the override ends
		at, whole = f.OnSince+f.MaxOn, f.MaxOn
	}
	if at == 0 {
		return 0, 0
	}
	return at, at - min(soonMost, whole/soonPart)
}

// foretold says in d that SSH closes soon.
func (f Facts) foretold(d Decision) Decision {
	if !f.Door.Open {
		return d
	}
	switch d.Kind {
	case KeyOn:
		d.Reason += ", and SSH closes soon by itself: max-on is " + f.MaxOn.String()
		d.Advice = "turn the key off and on, and its time begins anew"
	case Overridden:
		d.Reason += ", and closes soon by itself"
		d.Advice = "keyswitchd on --for 30m, typed at the console, prolongs it"
	}
	return d
}
