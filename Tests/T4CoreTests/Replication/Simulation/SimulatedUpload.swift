/// What a leader has under way to the store.
struct SimulatedUpload {
    var term: UInt64
    var next: UInt64
    var underWay = 0
    /// Everything up to here is stored, and pieces behind it.
    var through: UInt64
    private var pieces: [UInt64: UInt64] = [:]

    init(term: UInt64, next: UInt64) {
        self.term = term
        self.next = next
        through = next - 1
    }

    mutating func stored(_ first: UInt64, _ last: UInt64) {
        pieces[first] = last
        while let end = pieces.removeValue(forKey: through + 1) { through = end }
    }
}
