//! Each attack of docs/threat-model.md on a stage of its own; the plays are in `e2e::attack`, where the demo finds them too.

use anyhow::{Context, Result};
use e2e::{attack::ATTACKS, stage::Stage};

fn play(number: u8) -> Result<()> {
    let attack = ATTACKS
        .iter()
        .find(|attack| attack.number == number)
        .context("an attack of that number")?;
    let mut stage = Stage::set()?;
    let entries =
        (attack.play)(&mut stage).with_context(|| format!("attack {number}: {}", attack.name.1))?;
    for entry in entries {
        println!("log: {entry}");
    }
    Ok(())
}

macro_rules! attacks {
    ($($name:ident $number:literal)*) => {
        $(#[test] fn $name() -> Result<()> { play($number) })*

        #[test]
        fn every_attack_has_its_scenario() {
            let listed = [$($number),*];
            assert!(ATTACKS.iter().all(|attack| listed.contains(&attack.number)), "an attack without a scenario");
        }
    };
}

attacks! {
    attack_01_a_stolen_session_creates_nothing_and_dies_of_it 1
    attack_02_password_and_code_without_the_key_open_nothing 2
    attack_03_a_flood_of_requests_becomes_one_prompt_and_one_no 3
    attack_04_a_relay_that_shows_another_action_gets_no_valid_signature 4
    attack_05_replays_are_refused_also_after_a_restart 5
    attack_06_keys_that_are_not_genuine_hardware_are_not_enrolled 6
    attack_07_the_help_desks_session_enrols_no_key 7
    attack_08_a_key_pulled_or_swapped_signs_nothing_for_another 8
    attack_09_a_stolen_key_without_its_pin_locks_and_the_server_knows 9
    attack_10_a_cloned_key_is_suspended 10
    attack_11_neither_oneself_nor_whom_one_made_is_the_second_person 11
    attack_12_reading_in_bulk_ends_where_the_touches_end 12
    attack_13_an_account_created_just_now_is_inert 13
    attack_14_one_touch_stops_all_that_a_manager_begot 14
    attack_22_recovery_is_no_way_around 22
    attack_16_neither_pages_nor_other_users_can_talk_to_the_agent 16
}
