/// What the log has been told of each peer.
struct PeerNotices {
    /// Beyond so many peers, and so many texts of each, the log hears nothing.
    private static let peersMax = 256
    private static let textsMax = 16

    private var told: [String: Set<String>] = [:]

    /// Whether this is to be said, which is only asked once.
    mutating func isNew(_ text: String, of peer: String) -> Bool {
        guard told[peer] != nil || told.count < PeerNotices.peersMax else { return false }
        guard told[peer, default: []].count < PeerNotices.textsMax else { return false }
        return told[peer, default: []].insert(text).inserted
    }

    /// All is well with these peers: what comes next is new.
    mutating func forget(_ peers: [String]) {
        for peer in peers { told[peer] = nil }
    }
}
