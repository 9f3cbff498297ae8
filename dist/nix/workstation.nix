# A workstation: the agent in every person's session, and keys for whoever sits at the seat.
{ config, lib, pkgs, ... }:

let
  cfg = config.services.sceau-agent;
  toml = pkgs.formats.toml { };
in
{
  options.services.sceau-agent = {
    enable = lib.mkEnableOption "Sceau's agent";
    package = lib.mkOption {
      type = lib.types.package;
      default = pkgs.callPackage ./package.nix { };
      description = "The package that has the agent.";
    };
    settings = lib.mkOption {
      type = toml.type;
      default = { };
      example = { server = "https://sceau.example"; rp_id = "sceau.example"; };
      description = "agent.toml, for everyone who has none of their own. See agent/agent.example.toml.";
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = cfg.settings ? server && cfg.settings ? rp_id;
        message = "services.sceau-agent.settings needs server and rp_id: whom the agent signs for is configuration.";
      }
    ];
    environment.systemPackages = [ cfg.package ];
    environment.etc."sceau/agent.toml".source = toml.generate "agent.toml" cfg.settings;
    services.udev.packages = [ cfg.package ];
    services.pcscd.enable = true;
    systemd.packages = [ cfg.package ];
    systemd.user.sockets.sceau-agent.wantedBy = [ "sockets.target" ];
  };
}
