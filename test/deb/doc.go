// Package deb tests the Debian package in the virtual Pi: installed, armed, upgraded and downgraded over SSH, removed and
// purged. It wants /root/packages/older.deb and newer.deb there (make test-deb).
package deb
