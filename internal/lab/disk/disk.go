// Package disk gives tests a file system of their own, which may be filled or made read-only. It is for tests alone, and
// needs Linux and the right to mount: where there is none the test is skipped. It trusts the test that asks.
package disk
