// Package inside is what tests that run in the virtual Pi share: the hand on the key, the eye on the LED, the kernel's list of
// listeners, the question for the status, and a second process that tries to connect all the time.
//
// It looks from outside at what keyswitchd does and knows nothing of how; it asserts nothing, that is the tests' work. A
// test binary that uses a Watcher calls Role first.
package inside
