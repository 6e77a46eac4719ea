public import T4Protocols

/// An election that the rules are run on.
public struct ElectionUnderTest: Sendable, CustomStringConvertible {
    /// Name for results.
    public var name: String
    /// Several nodes take part: false for one of a node that is alone.
    public var isShared: Bool
    /// Makes a place where nobody has ever led and that nobody else uses.
    public var makePlace: @Sendable () async throws -> ElectionPlace

    /// Describes an election and how its place is made.
    public init(
        name: String, isShared: Bool = true, makePlace: @escaping @Sendable () async throws -> ElectionPlace
    ) {
        self.name = name
        self.isShared = isShared
        self.makePlace = makePlace
    }

    /// The election's name.
    public var description: String { name }

    /// The same election below a wrapper, which is put around it for each node.
    public func wrapped(
        _ name: String, _ wrap: @escaping @Sendable (any Election) -> any Election
    ) -> ElectionUnderTest {
        var wrapped = self
        wrapped.name = "\(name) over \(self.name)"
        wrapped.makePlace = { [makePlace] in
            let place = try await makePlace()
            return ElectionPlace(open: { wrap(try await place.open()) }, remove: place.remove)
        }
        return wrapped
    }

    /// Lends the elections of two nodes; of one that is alone, the same twice.
    func withTwo(_ body: (any Election, any Election) async throws -> Void) async throws {
        let place = try await makePlace()
        do {
            let one = try await place.open()
            try await body(one, isShared ? try await place.open() : one)
        } catch {
            try await place.remove()
            throw error
        }
        try await place.remove()
    }
}

/// Where an election keeps its record.
public struct ElectionPlace: Sendable {
    /// Makes the election of a node; called again for the next node.
    public var open: @Sendable () async throws -> any Election
    /// Removes all that is left.
    public var remove: @Sendable () async throws -> Void

    /// Describes a place.
    public init(
        open: @escaping @Sendable () async throws -> any Election, remove: @escaping @Sendable () async throws -> Void
    ) {
        self.open = open
        self.remove = remove
    }
}
