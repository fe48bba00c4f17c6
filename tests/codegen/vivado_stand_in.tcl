# Stand-ins for the Vivado commands that build.tcl uses: every call is logged, one Tcl list a line, to $env(LOG). Object
# queries return the names asked for, so that the log can be read. Commands that Vivado does not have are errors.

set log [open $env(LOG) w]
set runs $env(RUNS)

proc record {args} {
  puts $::log $args
  flush $::log
}

foreach name {
  add_files apply_bd_automation assign_bd_address connect_bd_intf_net connect_bd_net create_bd_design create_project
  launch_runs open_run report_timing_summary report_utilization save_bd_design set_property update_compile_order
  validate_bd_design wait_on_run write_checkpoint write_hw_platform
} {
  proc $name {args} [format {
    record %s {*}$args
    after_%s {*}$args
  } $name $name]
  proc after_$name {args} {}
}

foreach name {get_bd_pins get_bd_intf_pins get_runs current_project current_fileset get_bd_addr_spaces} {
  proc $name {args} {return [lindex $args end]}
}

proc get_files {args} {return "files [lindex $args end]"}
proc get_bd_addr_segs {args} {return [list reg0]}

proc get_board_parts {quiet part} {
  return [expr {$::env(BOARD_FILES) ? [list $part] : {}}]
}

proc get_ipdefs {all filter expression} {
  if {![regexp {VLNV =~ (xilinx.com:ip:\w+):\* && UPGRADE_VERSIONS == ""} $expression -> name]} {
    error "unexpected filter $expression"
  }
  return "$name:9.9"
}

proc create_bd_cell {args} {
  record create_bd_cell {*}$args
  return [lindex $args end]
}

proc make_wrapper {args} {
  record make_wrapper {*}$args
  return wrapper.v
}

proc get_property {property object} {
  switch $property {
    PROGRESS {return [expr {$object eq $::env(FAILING_RUN) ? "60%" : "100%"}]}
    DIRECTORY {return [file join $::runs $object]}
    STATS.WNS {return $::env(SLACK)}
    OFFSET {return 0x40000000}
    RANGE {return 0x10000}
  }
  error "unexpected property $property"
}

proc after_create_project {force name folder args} {
  file mkdir $folder
  set ::project [file join $folder $name]
}

proc after_create_bd_design {name} {
  set folder $::project.$::env(HANDOFF)/sources_1/bd/$name/hw_handoff
  file mkdir $folder
  close [open $folder/$name.hwh w]
}

proc after_launch_runs {run args} {
  set folder [file join $::runs $run]
  file mkdir $folder
  close [open $folder/system_wrapper.bit w]
}

set argv [lrange $argv 1 end]
source [lindex $::env(SCRIPT) 0]
