// swift-tools-version: 6.2
import PackageDescription

let settings: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .treatAllWarnings(as: .error),
]

// Readers of foreign bytes: tests that replay kept inputs, or, for `scripts/fuzz`, a program for libFuzzer.
let fuzzDependencies: [Target.Dependency] = [
    "CodingReference", "RPC", "T4Server", "T4Core", "T4Config", "T4BuiltIns", "T4Protocols", "EtcdAPI",
    .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOEmbedded", package: "swift-nio"),
    .product(name: "Logging", package: "swift-log"),
]
let fuzzing: Target =
    Context.environment["T4_FUZZ"] == "1"
    ? .executableTarget(
        name: "Fuzz", dependencies: fuzzDependencies, path: "Tests/Fuzz", exclude: ["Corpus", "Replay", "README.md"],
        swiftSettings: settings + [.unsafeFlags(["-parse-as-library"])])
    : .testTarget(
        name: "FuzzTests", dependencies: fuzzDependencies, path: "Tests/Fuzz",
        exclude: ["Corpus", "Driver", "README.md"],
        swiftSettings: settings)

let package = Package(
    name: "t4",
    products: [
        .executable(name: "t4", targets: ["t4"]),
        .library(name: "T4Protocols", targets: ["T4Protocols"]),
        .library(name: "T4Core", targets: ["T4Core"]),
        .library(name: "T4Config", targets: ["T4Config"]),
        .library(name: "T4BuiltIns", targets: ["T4BuiltIns"]),
        .library(name: "T4Server", targets: ["T4Server"]),
        .library(name: "T4Conformance", targets: ["T4Conformance"]),
    ],
    traits: [
        .trait(name: "LMDB", description: "The lmdb engine; needs liblmdb-dev."),
        .trait(name: "RocksDB", description: "The rocksdb engine; needs librocksdb-dev."),
        .trait(name: "LevelDB", description: "The leveldb engine; needs libleveldb-dev."),
        .trait(name: "S3", description: "The s3 object store; needs libcurl4-openssl-dev."),
        .trait(name: "Jemalloc", description: "The command t4 allocates with jemalloc; needs libjemalloc-dev."),
        .default(enabledTraits: ["LMDB", "RocksDB", "LevelDB", "S3", "Jemalloc"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0"),
        .package(url: "https://github.com/LebJe/TOMLKit", from: "0.6.0"),
    ],
    targets: [
        // The seams. Arrows point one way: t4 -> T4Server -> T4Core -> T4Protocols, T4Server -> RPC.
        .target(
            name: "T4Protocols", dependencies: [.product(name: "Logging", package: "swift-log")],
            swiftSettings: settings),
        .systemLibrary(
            name: "CLMDB", path: "Sources/CLibraries/CLMDB", pkgConfig: "lmdb", providers: [.apt(["liblmdb-dev"])]),
        .systemLibrary(
            name: "CRocksDB", path: "Sources/CLibraries/CRocksDB", providers: [.apt(["librocksdb-dev"])]),
        .systemLibrary(
            name: "CLevelDB", path: "Sources/CLibraries/CLevelDB", providers: [.apt(["libleveldb-dev"])]),
        .systemLibrary(
            name: "CCurl", path: "Sources/CLibraries/CCurl", pkgConfig: "libcurl",
            providers: [.apt(["libcurl4-openssl-dev"])]),
        .systemLibrary(
            name: "CNGHTTP2", path: "Sources/CLibraries/CNGHTTP2", pkgConfig: "libnghttp2",
            providers: [.apt(["libnghttp2-dev"])]),
        .systemLibrary(
            name: "COpenSSL", path: "Sources/CLibraries/COpenSSL", pkgConfig: "libcrypto",
            providers: [.apt(["libssl-dev"])]),
        .systemLibrary(
            name: "CCrypt", path: "Sources/CLibraries/CCrypt", pkgConfig: "libcrypt",
            providers: [.apt(["libcrypt-dev"])]),
        .target(
            name: "MemoryEngine", dependencies: ["T4Protocols"], path: "Sources/Backends/Memory",
            swiftSettings: settings),
        .target(
            name: "WriteBehindEngine", dependencies: ["T4Protocols", "MemoryEngine"],
            path: "Sources/Backends/WriteBehind", swiftSettings: settings),
        .target(
            name: "LMDBEngine", dependencies: ["T4Protocols", "CLMDB"], path: "Sources/Backends/LMDB",
            swiftSettings: settings),
        .target(
            name: "RocksDBEngine", dependencies: ["T4Protocols", "CRocksDB"], path: "Sources/Backends/RocksDB",
            swiftSettings: settings),
        .target(
            name: "LevelDBEngine", dependencies: ["T4Protocols", "CLevelDB"], path: "Sources/Backends/LevelDB",
            swiftSettings: settings),
        .target(
            name: "MemoryStore", dependencies: ["T4Protocols"], path: "Sources/ObjectStores/Memory",
            swiftSettings: settings),
        .target(
            name: "FilesystemStore", dependencies: ["T4Protocols", .product(name: "Logging", package: "swift-log")],
            path: "Sources/ObjectStores/Filesystem", swiftSettings: settings),
        .target(
            name: "S3Store",
            dependencies: ["T4Protocols", "CCurl", "COpenSSL", .product(name: "Logging", package: "swift-log")],
            path: "Sources/ObjectStores/S3", swiftSettings: settings),
        .target(
            name: "T4Core",
            dependencies: ["T4Protocols", "COpenSSL", .product(name: "Logging", package: "swift-log")],
            swiftSettings: settings),
        .target(
            name: "T4Config", dependencies: ["T4Protocols", "T4Core", .product(name: "TOMLKit", package: "TOMLKit")],
            swiftSettings: settings),
        .target(
            name: "T4BuiltIns",
            dependencies: [
                "T4Protocols", "T4Core", "MemoryEngine", "WriteBehindEngine", "MemoryStore", "FilesystemStore",
                .target(name: "LMDBEngine", condition: .when(traits: ["LMDB"])),
                .target(name: "RocksDBEngine", condition: .when(traits: ["RocksDB"])),
                .target(name: "LevelDBEngine", condition: .when(traits: ["LevelDB"])),
                .target(name: "S3Store", condition: .when(traits: ["S3"])),
            ],
            swiftSettings: settings),
        .target(
            name: "EtcdAPI", dependencies: [.product(name: "SwiftProtobuf", package: "swift-protobuf")],
            swiftSettings: [.enableUpcomingFeature("MemberImportVisibility")]),
        .target(
            name: "RPC",
            dependencies: [
                "CNGHTTP2", .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"), .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOTLS", package: "swift-nio"), .product(name: "NIOWebSocket", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"), .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings),
        .target(
            name: "T4Server",
            dependencies: [
                "T4Core", "T4Protocols", "RPC", "EtcdAPI", "CCrypt", "COpenSSL",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings),
        .executableTarget(
            name: "t4",
            dependencies: [
                "T4Server", "T4Core", "T4Protocols", "T4Config", "T4BuiltIns", "T4Conformance", "RPC",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings,
            // Of the command only: a program that embeds a node has an allocator of its own choice.
            linkerSettings: [.linkedLibrary("jemalloc", .when(platforms: [.linux], traits: ["Jemalloc"]))]),

        // Tests.
        .target(
            name: "T4Conformance", dependencies: ["T4Protocols"], path: "Tests/Conformance/Suite",
            swiftSettings: settings),
        // The engine of Examples/CustomEngine, so that its package shows nothing that the tests here have not seen.
        .target(
            name: "ExampleEngine", dependencies: ["T4Protocols"],
            path: "Examples/CustomEngine/Sources/LogFileEngine", swiftSettings: settings),
        .target(
            name: "ConformanceMutants",
            dependencies: [
                "T4Conformance", "T4BuiltIns", "T4Protocols", "ExampleEngine", "WriteBehindEngine",
                .product(name: "Logging", package: "swift-log"),
            ],
            path: "Tests/Conformance/Runner/Mutants", swiftSettings: settings),
        // The process that the suite kills.
        .executableTarget(
            name: "CrashChild", dependencies: ["T4Conformance", "ConformanceMutants", "T4Protocols"],
            path: "Tests/Conformance/CrashChild", swiftSettings: settings),
        .testTarget(
            name: "ConformanceRunner",
            dependencies: [
                "T4Conformance", "ConformanceMutants", "CrashChild", "StoreRaceChild", "T4BuiltIns", "T4Core",
                "T4Protocols", "WriteBehindEngine", .product(name: "Logging", package: "swift-log"),
            ],
            path: "Tests/Conformance/Runner", exclude: ["Mutants"], swiftSettings: settings),
        // A process of its own for the filesystem store: a second writer, one that is killed, one that meets limits.
        .executableTarget(
            name: "StoreRaceChild",
            dependencies: ["T4BuiltIns", "T4Protocols", .product(name: "Logging", package: "swift-log")],
            path: "Tests/StoreRaceChild", swiftSettings: settings),
        .testTarget(
            name: "T4CoreTests", dependencies: ["T4Core", "T4Protocols", "T4BuiltIns", "T4Conformance"],
            swiftSettings: settings),
        .testTarget(
            name: "T4ConfigTests", dependencies: ["T4Config", "T4Core", "T4Protocols", "T4BuiltIns"],
            exclude: ["BadFiles"], swiftSettings: settings),
        // Certificates made with the openssl command, for tests of TLS.
        .target(
            name: "TestCertificates", dependencies: ["T4Conformance"], path: "Tests/TestCertificates",
            swiftSettings: settings),
        // A client that speaks HTTP/2 by hand, to do what no proper one does.
        .target(name: "RawHTTP2", dependencies: ["CNGHTTP2"], path: "Tests/RawHTTP2", swiftSettings: settings),
        .testTarget(
            name: "RPCTests",
            dependencies: [
                "RPC", "RawHTTP2", "T4Conformance", "TestCertificates", "CNGHTTP2",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"), .product(name: "NIOTLS", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"), .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings),
        .testTarget(
            name: "T4ServerTests",
            dependencies: [
                "CodingReference", "TestCertificates", "T4Conformance", "T4Server", "T4Core", "T4Protocols",
                "T4BuiltIns", "RPC", "EtcdAPI",
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
                .product(name: "NIOCore", package: "swift-nio"),
            ],
            swiftSettings: settings),
        // What the hand-written decoders must read, said through the generated ones.
        .target(
            name: "CodingReference",
            dependencies: [
                "T4Server", "T4Core", "EtcdAPI", .product(name: "SwiftProtobuf", package: "swift-protobuf"),
            ],
            path: "Tests/CodingReference", swiftSettings: settings),
        // Whole processes: the built t4 binary, etcd and etcdctl, kill -9.
        .testTarget(
            name: "ProcessTests",
            dependencies: [
                "t4", "RPC", "RawHTTP2", "TestCertificates", "EtcdAPI", "T4Conformance",
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
            ],
            exclude: ["Scripts", "Differential/Scripts", "Gateway/Requests"], swiftSettings: settings),
        .testTarget(
            name: "S3StoreTests",
            dependencies: [
                .target(name: "S3Store", condition: .when(traits: ["S3"])), "T4Conformance", "T4Core", "T4Protocols",
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings),
        .testTarget(name: "TidyTests", swiftSettings: settings),
        fuzzing,
    ],
    swiftLanguageModes: [.v6]
)
