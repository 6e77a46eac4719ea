import T4Protocols

extension Tree {
    /// Visits the rows of a range in order until `visit` returns `.stop`.
    func scan(_ range: KeyRange, order: ScanOrder, visit: (RawSpan, RawSpan) -> ScanStep) {
        range.lower.withUnsafeBytes { lower in
            guard let upper = range.upper else {
                _ = root.scan(from: lower, to: nil, order, visit)
                return
            }
            upper.withUnsafeBytes { upper in
                guard compareBytes(lower, upper) < 0 else { return }
                _ = root.scan(from: lower, to: upper, order, visit)
            }
        }
    }
}

extension Node {
    /// A bound is handed down only to the child in which it lies.
    /// - Returns: False when the visitor asked to stop.
    fileprivate func scan(
        from lower: UnsafeRawBufferPointer?, to upper: UnsafeRawBufferPointer?, _ order: ScanOrder,
        _ visit: (RawSpan, RawSpan) -> ScanStep
    ) -> Bool {
        if isLeaf {
            let first = lower.map { position(of: $0).index } ?? 0
            let end = upper.map { position(of: $0).index } ?? count
            guard first < end else { return true }
            return each(first..<end, order) { index in
                let row = row(index)
                return visit(row.key.bytes, row.value.bytes) == .next
            }
        }
        let first = lower.map { childIndex(for: $0) } ?? 0
        let last = upper.map { childIndex(for: $0) } ?? count
        return each(first..<(last + 1), order) { index in
            child(index).scan(from: index == first ? lower : nil, to: index == last ? upper : nil, order, visit)
        }
    }

    @inline(__always)
    private func each(_ indices: Range<Int>, _ order: ScanOrder, _ body: (Int) -> Bool) -> Bool {
        switch order {
        case .ascending: indices.allSatisfy(body)
        case .descending: indices.reversed().allSatisfy(body)
        }
    }
}
