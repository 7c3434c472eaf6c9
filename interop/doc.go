// Package interop holds no code of its own: its tests run tocsin beside the programs it must get along with.
//
// It is a module of its own because those programs bring hundreds of modules that the product must not carry. Google's
// CTFE and TesseraCT are the logs (package reallogs), with a proxy before them that spoils answers (package faultproxy)
// or a real nginx; CAA records come from a real bind9 through a real unbound; mail goes through a real exim and is looked at in a real Chromium, webhooks to a receiver in Python,
// all of which must be installed; certificate-transparency-go, Tessera's fsck and transparency-dev/formats are
// the oracles that say what those logs hold and sign, so that our readers are never checked against themselves. Nothing
// here leaves the loopback interface.
package interop
