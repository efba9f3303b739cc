if(TARGET cnnbn-info)
  cnnbn_add_script_test(cli-info test_info.sh LABELS cli)
endif()
