/// A step of a script that can be made to do less.
protocol Shrinkable {
    /// Steps that do less than this one.
    var simpler: [Self] { get }
}

/// Makes a failing script short: leaves out steps in ever smaller groups, then parts of the steps that are left.
struct Shrinker<Step: Shrinkable> {
    /// How often a shorter script may be tried.
    private(set) var triesLeft: Int
    private(set) var steps: [Step]
    /// True when a script still fails.
    private let fails: ([Step]) async throws -> Bool

    /// - Parameter steps: A script that fails.
    /// - Returns: The shortest script that was found to fail; `steps` when no shorter one did.
    static func shrunk(
        _ steps: [Step], tries: Int, fails: ([Step]) async throws -> Bool,
    ) async throws -> [Step] {
        try await withoutActuallyEscaping(fails) { fails in
            var shrinker = Shrinker(triesLeft: tries, steps: steps, fails: fails)
            try await shrinker.leaveOutSteps()
            try await shrinker.leaveOutParts()
            return shrinker.steps
        }
    }

    private mutating func keepIfFailing(_ candidate: [Step]) async throws -> Bool {
        guard triesLeft > 0, !candidate.isEmpty else { return false }
        triesLeft -= 1
        guard try await fails(candidate) else { return false }
        steps = candidate
        return true
    }

    private mutating func leaveOutSteps() async throws {
        var size = steps.count / 2
        while size > 0 {
            // From the end on: what failed is there, and what led to it is found by losing the rest.
            var end = steps.count
            while end > 0 && triesLeft > 0 {
                let start = max(0, end - size)
                _ = try await keepIfFailing(Array(steps[..<start] + steps[end...]))
                end = start
            }
            size /= 2
        }
    }

    private mutating func leaveOutParts() async throws {
        var index = 0
        while index < steps.count && triesLeft > 0 {
            let isSimpler = try await replaced(at: index)
            if !isSimpler { index += 1 }
        }
    }

    private mutating func replaced(at index: Int) async throws -> Bool {
        for simpler in steps[index].simpler {
            var candidate = steps
            candidate[index] = simpler
            if try await keepIfFailing(candidate) { return true }
        }
        return false
    }
}
