package facts

// For the tests, which stand outside.
var (
	ReadOwners = readOwners
	OwnKeys    = ownKeys
	Wiped      = wiped

	OwnersTable, KeysTable = ownersTable, keysTable
)

const MaxChain = maxChain
