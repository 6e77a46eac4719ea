/// The known name that a misspelt one most likely meant; nil when none is close.
///
/// Close means at most a third of the name's characters added, dropped, changed or swapped with their neighbour, or that
/// the wrong name is the beginning of the known one (`warn`, `map_size`).
/// `-` and `_` count as equal, and so do capitals and small letters.
func nearestName(to wrong: String, among known: [String]) -> String? {
    func plain(_ name: String) -> [Character] { Array(name.lowercased().replacing("-", with: "_")) }
    let wanted = plain(wrong)
    let limit = max(1, wanted.count / 3)
    let best = known.map { (name: $0, distance: editDistance(wanted, plain($0))) }
        .min { ($0.distance, $0.name) < ($1.distance, $1.name) }
    if let best, best.distance <= limit { return best.name }
    guard wanted.count >= 3 else { return nil }
    return known.filter { plain($0).starts(with: wanted) }.min { ($0.count, $0) < ($1.count, $1) }
}

private func editDistance(_ left: [Character], _ right: [Character]) -> Int {
    var beforeLast: [Int] = []
    var last = Array(0...right.count)
    for i in left.indices {
        var row = [i + 1]
        for j in right.indices {
            var cost = min(row[j] + 1, last[j + 1] + 1, last[j] + (left[i] == right[j] ? 0 : 1))
            if i > 0, j > 0, left[i] == right[j - 1], left[i - 1] == right[j] {
                cost = min(cost, beforeLast[j - 1] + 1)
            }
            row.append(cost)
        }
        beforeLast = last
        last = row
    }
    return last[right.count]
}
