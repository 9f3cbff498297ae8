# Sceau's programs, built from this checkout on its own lockfile.
{ lib, rustPlatform, pkg-config, clang, cmake, pcsclite, udev }:

rustPlatform.buildRustPackage {
  pname = "sceau";
  version = "0.1.0";
  src = lib.cleanSource ../..;
  cargoLock.lockFile = ../../Cargo.lock;

  nativeBuildInputs = [ pkg-config cmake clang ];
  buildInputs = [ pcsclite udev ];
  # AWS-LC brings a cmake project of its own; this is not one.
  dontUseCmakeConfigure = true;
  cargoBuildFlags = [ "-p" "sceau-agent" "-p" "sceau-server" "-p" "sceau-proof" ];
  # They need daemons, virtual readers and a guest: `cargo xtask test`.
  doCheck = false;

  postInstall = ''
    install -Dm644 udev/70-sceau.rules -t $out/lib/udev/rules.d
    install -Dm644 agent/dist/systemd/user/* -t $out/lib/systemd/user
    install -Dm644 server/dist/sceau-server.service -t $out/lib/systemd/system
    substituteInPlace $out/lib/systemd/user/*.service $out/lib/systemd/system/*.service \
      --replace-quiet /usr/bin/ $out/bin/
    # Programs and libraries are in the store here.
    substituteInPlace $out/lib/systemd/system/sceau-server.service \
      --replace-fail "ExecPaths=$out/bin/sceau-server /usr/lib -/lib -/lib64" "ExecPaths=/nix/store"
  '';

  meta = {
    description = "Privileged actions sealed by a physical, genuine hardware key";
    license = lib.licenses.asl20;
    platforms = lib.platforms.linux;
    mainProgram = "sceau";
  };
}
