# A server: the same closed unit as the Debian package's, configuration from Nix, secrets from /etc/sceau/credentials.
{ config, lib, pkgs, ... }:

let
  cfg = config.services.sceau-server;
  toml = pkgs.formats.toml { };
in
{
  options.services.sceau-server = {
    enable = lib.mkEnableOption "Sceau's server";
    package = lib.mkOption {
      type = lib.types.package;
      default = pkgs.callPackage ./package.nix { };
      description = "The package that has the server.";
    };
    settings = lib.mkOption {
      type = toml.type;
      default = { };
      description = "sceau.toml, over what this module sets. See server/sceau.example.toml.";
    };
    policy = lib.mkOption {
      type = lib.types.path;
      description = "Folder of policies: who may do what, sealed how, by how many. See docs/policy.md; server/policy is the shipped set.";
    };
    anchors = lib.mkOption {
      type = lib.types.path;
      description = "Folder of manufacturers' root certificates.";
    };
  };

  config = lib.mkIf cfg.enable {
    services.sceau-server.settings = {
      store.url = lib.mkDefault "sqlite:/var/lib/sceau/sceau.db";
      keys.permit = lib.mkDefault "/etc/sceau/credentials/permit.pem";
      keys.log = lib.mkDefault "/etc/sceau/credentials/log.key";
      keys.log_vkey = lib.mkDefault "/var/lib/sceau/log.vkey";
      policy.folder = lib.mkDefault "${cfg.policy}";
      attestation.anchors = lib.mkDefault "${cfg.anchors}";
    };
    environment.systemPackages = [ cfg.package ];
    environment.etc."sceau/sceau.toml".source = toml.generate "sceau.toml" cfg.settings;
    users.users.sceau-server = {
      isSystemUser = true;
      group = "sceau-server";
      home = "/var/lib/sceau";
    };
    users.groups.sceau-server = { };
    systemd.tmpfiles.rules = [
      "d /var/lib/sceau 0700 sceau-server sceau-server -"
      "d /etc/sceau/credentials 0700 root root -"
    ];
    systemd.packages = [ cfg.package ];
    systemd.services.sceau-server.wantedBy = [ "multi-user.target" ];
  };
}
