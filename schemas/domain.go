package schemas

// LocalDomain is the trust domain of the nodes and of their own programs, and the
// sender's where none is set up. Whoever is of it may do what a node may.
const LocalDomain = "local"
