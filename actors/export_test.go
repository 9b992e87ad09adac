package actors

// Held returns how many messages of the inbox the host holds, and how many
// bytes of them are in memory.
func (h *Host) Held() (messages, bytes int64) {
	h.held.mu.Lock()
	defer h.held.mu.Unlock()
	return h.held.messages, h.held.bytes
}

// MaxEarly is how many signals an identity keeps for runs that never began.
const MaxEarly = maxEarly
