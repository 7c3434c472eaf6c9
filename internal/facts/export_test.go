package facts

// For the tests, which stand outside.
var (
	ReadOwners = readOwners
	Wiped      = wiped

	OwnersTable, KeysTable = ownersTable, keysTable
)

const MaxChain = maxChain

func OwnKeys(data []byte) (keys [][32]byte, note string) {
	c := Own(data)
	return c.Keys, c.Note
}
